"""Label maps out: PIL and samlab read back what was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from samlab import masks
from samlab.errors import InputError
from samlab.formats.label_maps import read_label_maps, write_label_maps
from samlab.palette import class_colors
from samlab.segments import Segments
from tests.formats.shapes import RINGED, SIZE, names_of, segments_of, tables


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(segments=tables())
def test_pil_reads_the_class_numbers_back(segments: Segments, tmp_path: Path) -> None:
    folder = write_label_maps(segments, tmp_path / "out", overwrite=True).path
    names = (folder / "classes.txt").read_text(encoding="utf-8").splitlines()
    expected = np.full(SIZE, "", object)
    for i in np.argsort(-segments.areas, kind="stable"):
        expected[segments.mask(i)] = names_of(segments)[i]
    with Image.open(folder / "a.png") as image:
        assert image.mode == "P"
        values = np.asarray(image)
        colors = np.asarray(image.convert("RGB"))
    assert (np.array([*names, ""], object)[values] == expected).all()
    np.testing.assert_array_equal(colors[values == 0], 0)
    np.testing.assert_array_equal(
        colors[values > 0], class_colors(values[values > 0].astype(int) - 1)
    )


def test_the_smallest_is_on_top_and_the_report_says_what_is_left(tmp_path: Path) -> None:
    outer, inner = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    outer[5:15, 5:15] = True
    inner[5:10, 5:10] = True
    report = write_label_maps(segments_of([inner, outer], [1, 0]), tmp_path / "out")
    values = np.asarray(Image.open(report.path / "a.png"))
    assert (values[6, 6], values[12, 12], values[0, 0]) == (2, 1, 0)
    assert report.kept.tolist() == [1.0, 0.75]
    assert "Changed on the way back, 1 mask: IoU 0.7500" in str(report)


def test_samlab_reads_its_own_and_classes_have_a_table(pictures: Path, tmp_path: Path) -> None:
    segments = segments_of([RINGED], [2])
    folder = write_label_maps(segments, tmp_path / "out").path
    read = read_label_maps(folder, pictures, folder / "classes.txt", min_pixels=1, instances=False)
    (image,) = read
    assert image.class_names == (segments.class_names[2],)
    assert image.masks[0] is not None
    np.testing.assert_array_equal(masks.decode(image.masks[0]), RINGED)
    table = pd.read_csv(folder / "classes.csv")
    assert table["name"].tolist() == ["background", *segments.class_names.values()]
    assert table["value"].tolist() == [0, 1, 2, 3]


def test_more_than_255_classes_have_16_bits(tmp_path: Path) -> None:
    pixels = [np.zeros(SIZE, bool) for _ in range(300)]
    for i, mask in enumerate(pixels):
        mask[i // 40, i % 40] = True
    segments = segments_of(pixels).with_labels(np.arange(300), {i: f"c{i}" for i in range(300)})
    folder = write_label_maps(segments, tmp_path / "out").path
    with Image.open(folder / "a.png") as image:
        assert image.mode.startswith("I")
        values = np.asarray(image)
    assert values.ravel()[:301].tolist() == [*range(1, 301), 0]
    again = write_label_maps(segments, tmp_path / "ids", values="segment").path
    np.testing.assert_array_equal(np.asarray(Image.open(again / "a.png")), values)
    assert not (again / "classes.txt").exists()


def test_bad_options_and_a_folder_that_has_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="values='class' or values='segment', got 'x'"):
        write_label_maps(segments_of([]), tmp_path / "out", values="x")  # type: ignore[arg-type]
    (tmp_path / "other.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already and was left as it is"):
        write_label_maps(segments_of([RINGED]), tmp_path)
    write_label_maps(segments_of([RINGED]), tmp_path, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.png", "classes.csv", "classes.txt", "other.txt",
    ]  # fmt: skip
