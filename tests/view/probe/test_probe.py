"""The probe: similarities in Python and in JavaScript, matches in other pictures, thumbnails."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

import samlab
from samlab import masks
from samlab.errors import InputError
from samlab.segments import Segments
from samlab.view.probe.widget import THUMB, _patches, probe
from tests.view.javascript import needs_node, run_js


def squares(n: int, name: str = "a.png", seed: int = 0) -> tuple[Segments, np.ndarray]:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (32, 8 * max(n, 1), 3), np.uint8)
    rles = []
    for i in range(n):
        mask = np.zeros(picture.shape[:2], bool)
        mask[8:16, 8 * i : 8 * i + 8] = True
        rles.append(masks.encode(mask))
    vectors = rng.normal(size=(n, 12)).astype(np.float32)
    size = picture.shape[:2]
    return (
        Segments(rles=rles, embeddings={"sam": vectors}, image_size=size, image_id=name),
        picture,
    )


class Features:
    """64 x 96 pixels in a padded square of 128, patches of 16."""

    input_size = (64, 96)
    image_size = (32, 48)
    img_size = 128

    def grid(self) -> np.ndarray:
        return np.random.default_rng(3).normal(size=(12, 8, 8)).astype(np.float32)


def test_selection_is_everything_above_the_threshold_most_similar_first() -> None:
    segments, picture = squares(9)
    found = probe(segments, picture)
    assert np.isnan(found.similarities).all()
    assert len(found.segments) == 0
    found.query, found.threshold = 4, 0.0
    expected = samlab.similarity(segments)[4]
    np.testing.assert_allclose(found.similarities, expected, atol=1e-6)
    assert found.selected[0] == 4
    assert set(found.selected.tolist()) == set(np.flatnonzero(expected >= 0).tolist())
    assert (np.diff(expected[found.selected]) <= 0).all()
    assert len(found.segments) == len(found.selected)


@needs_node
def test_js_cosines_and_heat_map_are_pythons() -> None:
    segments, picture = squares(6)
    payload = probe(segments, picture, features=Features()).payload
    patches = payload["patches"]
    found = run_js(
        """({ vectors, values, scales }) => [cosines(vectors, 12, 2),
          patchCosines({ values, scales }, vectors, 12, 2)].map((a) => Array.from(a))""",
        vectors=np.frombuffer(payload["vectors"], "<f4").tolist(),
        values=np.frombuffer(patches["values"], np.int8).tolist(),
        scales=np.frombuffer(patches["scales"], "<f4").tolist(),
    )
    np.testing.assert_allclose(found[0], samlab.similarity(segments)[2], atol=1e-6)
    heat = samlab.heat_map(Features(), segments[[2]], size="grid")
    assert (patches["rows"], patches["columns"]) == heat.shape == (4, 6)
    np.testing.assert_allclose(np.array(found[1]).reshape(heat.shape), heat, atol=0.006)


def test_matches_in_other_pictures_are_similars_with_thumbnails() -> None:
    segments, picture = squares(5)
    one, one_picture = squares(7, "one.png", 1)
    two, two_picture = squares(4, "two.png", 2)
    others = Segments.concat([one, two])
    found = probe(
        segments, picture, others=others, pictures={"one.png": one_picture, "two.png": two_picture}
    )
    matches = found.payload["others"]
    expected = samlab.similar(segments, others, 8)
    assert matches["ids"] == expected["segment"].tolist()
    np.testing.assert_allclose(matches["scores"], expected["similarity"], atol=1e-4)
    sheet = np.asarray(Image.open(BytesIO(matches["sheet"])))
    assert len(matches["thumbs"]) == 11
    assert sheet.shape == (THUMB, 11 * THUMB, 3)
    assert matches["names"]["8"] == "two.png"
    found.query = 3
    assert found.similar_in_others(2)["segment"].tolist() == expected["segment"][24:26].tolist()


def test_without_pictures_there_are_names_only() -> None:
    segments, picture = squares(3)
    matches = probe(segments, picture, others=squares(2, "b.png", 1)[0]).payload["others"]
    assert (matches["sheet"], matches["k"], matches["names"]["0"]) == (None, 2, "b.png")


@pytest.mark.parametrize("n", [0, 1])
def test_few_segments(n: int, tmp_path: Any) -> None:
    segments, picture = squares(n)
    found = probe(segments, picture, others=segments)
    assert found.write_html(tmp_path / "probe.html").stat().st_size > 20_000
    assert found._still().shape[2] == 3


def test_errors_say_what_to_do() -> None:
    segments, picture = squares(3)
    found = probe(segments, picture)
    with pytest.raises(InputError, match="pass others=... to samlab.probe and click a segment"):
        found.similar_in_others()
    found.query = 1
    with pytest.raises(InputError, match="Expected a segment id below 3, or -1 for none; got 3"):
        found.query = 3
    assert found.query == 1
    with pytest.raises(InputError, match="Expected vectors of 12 numbers"):
        _patches(Features(), np.ones((2, 5), np.float32))
    with pytest.raises(InputError, match="Expected the picture 'b.png' among pictures"):
        probe(segments, picture, others=squares(2, "b.png")[0], pictures={})
