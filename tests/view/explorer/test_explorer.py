"""The explorer's state and its written file, without a browser."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

import samlab
from samlab import masks
from samlab.errors import InputError
from samlab.segments import Segments
from samlab.view.explorer.explorer import explore
from samlab.view.explorer.tuning import Settings, Tuning, chain_labels, match_labels
from samlab.view.scene import jpeg
from samlab.view.widget import html


def strips(n: int, groups: int = 3, seed: int = 0) -> tuple[Segments, np.ndarray]:
    """n one-row segments of a picture of n rows, in groups of alike vectors."""
    rng = np.random.default_rng(seed)
    size = (max(n, 1), 8)
    rles = []
    for i in range(n):
        mask = np.zeros(size, bool)
        mask[i] = True
        rles.append(masks.encode(mask))
    vectors = np.eye(groups, 16)[np.arange(n) % groups] + rng.normal(size=(n, 16)) * 0.02
    segments = Segments(
        rles=rles,
        embeddings={"sam": vectors.astype(np.float32)},
        image_size=size,
        image_id="strips.png",
    )
    return segments, np.zeros((*size, 3), np.uint8)


def explorer_of(n: int = 30, **options: Any) -> Any:
    segments, picture = strips(n)
    return explore(segments, picture, points=np.zeros((n, 2)), **options)


LABELS = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 4)), max_size=40)


@given(LABELS)
def test_match_labels_keeps_the_partition(pairs: list[tuple[int, int]]) -> None:
    reference, labels = np.array(pairs, np.int64).reshape(-1, 2).T
    matched = match_labels(reference, labels)
    assert ((matched == -1) == (labels == -1)).all()
    assert len({*zip(matched.tolist(), labels.tolist(), strict=True)}) == len(set(labels.tolist()))
    assert (match_labels(reference, reference) == reference).all()


def test_chain_keeps_a_class_its_number_through_all_steps() -> None:
    rows = np.array([[0, 0, 1, 1, -1], [1, 1, 0, 0, 2], [1, 1, 0, 0, 0]])
    assert chain_labels(rows, 0).tolist() == [[0, 0, 1, 1, -1], [0, 0, 1, 1, 2], [0, 0, 1, 1, 1]]


def test_every_step_of_the_slider_is_scikit_learns_dbscan() -> None:
    segments, _ = strips(40)
    vectors = segments.embedding()
    tuning = Tuning(vectors, Settings("sam", "coverage", "dbscan", "cosine", 4))
    assert len(tuning.eps) >= 30
    for eps, labels in zip(tuning.eps, tuning.labels, strict=True):
        reference = DBSCAN(eps=eps, min_samples=4, metric="cosine").fit(vectors).labels_
        assert ((labels == -1) == (reference == -1)).all()
        assert adjusted_rand_score(labels, reference) == 1.0


def test_it_begins_where_cluster_does_and_eps_can_be_set() -> None:
    explorer = explorer_of()
    result = samlab.cluster(strips(30)[0], method="dbscan")
    assert adjusted_rand_score(explorer.labels, result.labels) == 1.0
    assert explorer.eps == pytest.approx(result.eps, rel=1e-3)
    explorer.eps = 1.9
    assert set(explorer.labels.tolist()) == {0}
    assert explorer.segments.labels.tolist() == [0] * 30


def test_names_reach_segments_and_stay_with_what_was_named() -> None:
    explorer = explorer_of(eps=0.2)
    explorer.rename(1, " coin ")
    frame = explorer.segments.to_pandas()
    assert set(frame.class_name[frame.label == 1]) == {"coin"}
    explorer.eps = 1e-6
    assert explorer.class_names == {}
    explorer.eps = 0.2
    assert explorer.class_names == {1: "coin"}
    explorer.rename(1, "")
    assert explorer.class_names == {}


def test_own_classes_are_kept_until_eps_is_moved() -> None:
    segments, picture = strips(12)
    own = np.array([7, -1, 2] * 4)
    labelled = segments.with_labels(own, {7: "seven"})
    explorer = explore(labelled, picture, points=np.zeros((12, 2)))
    assert explorer.labels.tolist() == own.tolist()
    assert explorer.eps is None
    assert explorer.class_names == {7: "seven"}
    explorer.eps = 0.2
    assert sorted(set(explorer.labels.tolist())) == [0, 2, 7]
    assert explorer.class_names == {7: "seven"}


def test_own_classes_of_a_clustering_come_with_its_radius() -> None:
    segments, picture = strips(30)
    radii = samlab.sweep(segments).eps
    for eps in ("auto", float(radii[30]), float(radii[45])):
        found = samlab.cluster(segments, eps=eps)
        assert found.n_clusters > 0
        swapped = np.where(found.labels >= 0, found.labels.max() - found.labels, -1)
        explorer = explore(segments.with_labels(swapped), picture, points=np.zeros((30, 2)))
        assert explorer.labels.tolist() == swapped.tolist()
        assert explorer.eps is not None
        again = samlab.cluster(segments, eps=explorer.eps)
        assert adjusted_rand_score(again.labels, found.labels) == 1.0
        step = explorer.state["step"]
        assert explorer._tuning.labels[step].tolist() == swapped.tolist()


@pytest.mark.parametrize("eps", [0.07, 0.1234, 0.3, 0.77, 1.3])
def test_given_classes_show_the_radius_that_gives_them(eps: float) -> None:
    rng = np.random.default_rng(3)
    vectors = np.concatenate([rng.normal(c, 0.1 + 0.2 * c, (20, 2)) for c in range(4)])
    segments = strips(80)[0].with_embedding("sam", vectors.astype(np.float32))
    labels = samlab.cluster(segments, eps, 4, "euclidean").labels
    assert (labels >= 0).any()
    picture = np.zeros((*segments.image_size, 3), np.uint8)
    explorer = explore(
        segments.with_labels(labels), picture, metric="euclidean", min_samples=4,
        points=np.zeros((80, 2)),
    )  # fmt: skip
    assert explorer.labels.tolist() == labels.tolist()
    assert explorer.eps is not None
    again = samlab.cluster(segments, explorer.eps, 4, "euclidean").labels
    assert again.tolist() == labels.tolist()
    assert explorer.sweep["values"][explorer.state["step"]] == explorer.eps


def regions(n: int = 24, groups: int = 4) -> tuple[Segments, np.ndarray]:
    """Disjoint regions as `samlab.partition` gives them, each of two masks."""
    segments, picture = strips(n, groups)
    return samlab.partition(Segments.concat([segments, segments])), picture


def test_regions_begin_with_ward_and_the_slider_stands_at_its_cut() -> None:
    segments, picture = regions()
    found = samlab.cluster(segments)
    for given_segments in (segments, segments.with_labels(found.labels)):
        explorer = explore(given_segments, picture, points=np.zeros((24, 2)))
        assert explorer.settings["method"] == "ward"
        assert explorer.labels.tolist() == found.labels.tolist()
        assert explorer.state["step"] >= 0
        again = samlab.cluster(segments, explorer.eps, method="ward")
        assert again.labels.tolist() == found.labels.tolist()
        for eps, row in zip(explorer.sweep["values"], explorer._tuning.labels, strict=True):
            cut = samlab.cluster(segments, eps, method="ward")
            assert adjusted_rand_score(row, cut.labels) == 1.0
        assert explorer.sweep["classes"] == list(range(24, 0, -1))
        rungs = [explorer.sweep["classes"][step] for step in explorer.sweep["ladder"]]
        assert rungs == [rung.n_clusters for rung in samlab.ladder(segments)]
        names: dict[str, Any] = {"samlab": samlab, "segments": segments}
        exec(explorer.code(), names)
        assert names["segments"].labels.tolist() == found.labels.tolist()
        explorer.eps = 1.0
        assert set(explorer.labels.tolist()) == {0}


def test_regions_with_classes_of_dbscan_begin_with_their_radius() -> None:
    segments, picture = regions()
    radii = samlab.sweep(segments)
    eps = float(radii.eps[radii.noise_fraction > 0.2][-1])
    labels = samlab.cluster(segments, eps).labels
    assert -1 in labels  # which Ward never gives
    explorer = explore(segments.with_labels(labels), picture, points=np.zeros((24, 2)))
    assert explorer.settings["method"] == "dbscan"
    assert explorer.labels.tolist() == labels.tolist()
    assert explorer.eps is not None
    by_hand = np.arange(24) % 5 - 1
    explorer = explore(segments.with_labels(by_hand), picture, points=np.zeros((24, 2)))
    assert explorer.settings["method"] == "ward"
    assert explorer.labels.tolist() == by_hand.tolist()
    assert explorer.eps is None
    explorer = explore(segments, picture, eps=0.1, points=np.zeros((24, 2)))
    assert explorer.settings["method"] == "dbscan"


def test_masks_that_regions_stand_for_travel_with_them() -> None:
    segments, picture = strips(12, 3)
    both = Segments.concat([segments, segments])
    explorer = explore(samlab.partition(both), picture, masks=both, points=np.zeros((12, 2)))
    counts = [masks.compress(rle)["counts"] for rle in both.rles]
    assert explorer.payload["masks"] == counts
    assert explorer_of(6).payload["masks"] == []
    with pytest.raises(InputError, match="masks of the same picture"):
        explore(segments, picture, masks=strips(5)[0])


def test_overlapping_segments_can_be_tuned_by_ward_too() -> None:
    segments, picture = strips(12, 3)
    both = Segments.concat([segments, segments])
    explorer = explore(both, picture, method="ward", points=np.zeros((24, 2)))
    assert explorer.labels.tolist() == samlab.cluster(both, method="ward").labels.tolist()
    empty = np.zeros((3, *picture.shape[:2]), bool)
    vectors = {"sam": np.eye(3)}
    nothing = Segments(masks.encode(empty), embeddings=vectors)  # type: ignore[arg-type]
    explorer = explore(nothing, picture, method="ward", points=np.zeros((3, 2)))
    assert explorer.labels.tolist() == [-1] * 3


def test_settings_of_classes_that_no_radius_gives_say_auto() -> None:
    segments, picture = strips(12)
    labelled = segments.with_labels(np.array([0, -1, 1] * 4))
    explorer = explore(labelled, picture, points=np.zeros((12, 2)))
    assert 'eps="auto"' in explorer.code()
    assert 'eps = "auto"' in explorer.parameters()


def test_a_message_of_the_page_changes_settings_and_a_bad_one_changes_nothing() -> None:
    explorer = explorer_of()
    sent: list[Any] = []
    explorer.send = lambda content, buffers=None: sent.append(content)
    explorer._receive(explorer, {"kind": "recluster", "settings": {"metric": "euclidean"}}, [])
    assert explorer.settings["metric"] == "euclidean"
    assert sent == [{"kind": "done"}]
    before = (explorer.state, explorer.sweep)
    explorer._receive(explorer, {"kind": "recluster", "settings": {"min_samples": 0}}, [])
    assert sent[1] == {"kind": "error", "text": "Expected min_samples of 1 or more, got 0."}
    explorer._receive(explorer, {"kind": "value", "value": -1}, [])
    assert sent[2]["text"] == "Expected eps above 0, got -1.0."
    explorer._receive(explorer, {"kind": "value", "value": "x"}, [])
    assert sent[3]["text"].startswith("ValueError: ")
    assert (explorer.state, explorer.sweep) == before


def test_hdbscan_has_a_sweep_too() -> None:
    explorer = explorer_of(method="hdbscan", min_samples=4)
    assert len(set(explorer.labels.tolist()) - {-1}) == 3
    assert explorer.settings["method"] == "hdbscan"


def test_code_and_parameters_can_be_run() -> None:
    explorer = explorer_of(eps=0.2, min_samples=5)
    names: dict[str, Any] = {"samlab": samlab, "segments": strips(30)[0]}
    exec(explorer.code(), names)
    assert adjusted_rand_score(names["segments"].labels, explorer.labels) == 1.0
    exec(explorer.parameters(), names)
    assert (names["eps"], names["min_samples"], names["metric"]) == (0.2, 5, "cosine")


def test_pooling_can_be_changed_where_the_embedding_is_given() -> None:
    class Features:
        input_size = (64, 64)
        image_size = (64, 64)
        img_size = 64

        def grid(self) -> np.ndarray:
            return np.random.default_rng(0).normal(size=(8, 4, 4)).astype(np.float32)

    rng = np.random.default_rng(1)
    rles = masks.encode(rng.random((9, 64, 64)) > 0.7)
    segments = Segments(rles=rles)  # type: ignore[arg-type]
    segments = segments.with_embedding("sam", samlab.pool(Features(), segments))
    explorer = explore(
        segments, np.zeros((64, 64), np.uint8), features=Features(), points=np.zeros((9, 2))
    )
    explorer._handle({"kind": "recluster", "settings": {"pooling": "any"}})
    expected = samlab.pool(Features(), segments, how="any")
    np.testing.assert_allclose(explorer.segments.embedding("sam"), expected)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_segments(n: int, tmp_path: Any) -> None:
    segments, picture = strips(n)
    explorer = explore(segments, picture)
    assert explorer.labels.tolist() == [-1] * n
    assert len(explorer.segments) == n
    assert explorer.write_html(tmp_path / "few.html").stat().st_size > 20_000


def test_errors_say_what_to_do() -> None:
    segments, picture = strips(5)
    with pytest.raises(InputError, match=r"Expected the picture that the segments were made from"):
        explore(segments, picture[:4])
    with pytest.raises(InputError, match=r"the embedding 'clip'; they have 'sam'"):
        explore(segments, picture, embedding="clip")
    with pytest.raises(InputError, match=r"Expected finite map coordinates of shape \(5, 2\)"):
        explore(segments, picture, points=np.zeros((5, 3)))
    explorer = explore(segments, picture, points=np.zeros((5, 2)))
    with pytest.raises(InputError, match=r"Expected segment ids from 0 to 4, got 2 to 9"):
        explorer.select([2, 9])
    with pytest.raises(InputError, match=r"Expected one of the classes \[0\], got 3"):
        explorer.rename(3, "x")


def test_written_page_holds_everything_and_escapes_texts(tmp_path: Any) -> None:
    segments, picture = strips(20)
    name = "</script><img src=x onerror=alert(1)>"
    segments = segments.with_labels(np.zeros(20, int), {0: name})
    explorer = explore(segments, picture, points=np.zeros((20, 2)))
    text = explorer.write_html(tmp_path / "page.html").read_text()
    assert "<img src=x" not in text
    assert text.count("</script>") == 2
    assert not re.findall(r"(?:src|href)=[\"']?https?:", text)
    data = json.loads(text.split('id="samlab-data">')[1].split("</script>")[0])
    assert data["state"]["names"] == {"0": name}
    assert data["payload"]["scene"]["picture"]["$bytes"].startswith("/9j/")


def test_pack_round_trips_through_json() -> None:
    value = {"a": b"\x00\xff", "b": [1.5, None, ("x", True)], 3: {}}
    assert json.loads(html.script_json(value)) == {
        "a": {"$bytes": "AP8="}, "b": [1.5, None, ["x", True]], "3": {},
    }  # fmt: skip
    with pytest.raises(ValueError, match="Out of range float values"):
        html.script_json(float("nan"))


def test_vectors_of_another_kind_are_computed_when_chosen() -> None:
    segments, picture = strips(20)
    picture[::2] = 200  # every other strip is bright
    explorer = explore(segments, picture, points=np.zeros((20, 2)))
    assert [name for name, _ in explorer.payload["choices"]["embedding"]] == [
        "sam", "colour_texture",
    ]  # fmt: skip
    assert list(explorer.segments.embeddings) == ["sam"]
    sent: list[Any] = []
    explorer.send = lambda content, buffers=None: sent.append(content)
    chosen = {"embedding": "colour_texture"}
    explorer._receive(explorer, {"kind": "recluster", "settings": chosen}, [])
    assert sent == [{"kind": "done"}]
    assert list(explorer.segments.embeddings) == ["sam", "colour_texture"]
    assert explorer.settings["embedding"] == "colour_texture"
    bright = np.arange(20) % 2 == 0
    assert adjusted_rand_score(explorer.labels, bright) == 1.0
    code = explorer.code()
    assert code.startswith(
        "segments = samlab.embed(image, segments, samlab.embedders.ColourTexture())\n"
    )
    made = samlab.embed(picture, segments, samlab.embedders.ColourTexture())
    names = {"samlab": samlab, "image": picture, "segments": segments}
    exec(code, names)
    np.testing.assert_array_equal(made.embedding("colour_texture"), names["segments"].embedding(
        "colour_texture"))  # fmt: skip
    assert adjusted_rand_score(names["segments"].labels, bright) == 1.0


def test_pooling_leaves_vectors_of_another_kind_alone() -> None:
    segments, picture = strips(12)
    other = np.eye(12, dtype=np.float32)
    both = segments.with_embedding("other", other)
    grid = np.random.default_rng(0).random((16, 4, 4)).astype(np.float32)

    class Patches:
        img_size, input_size, image_size = 64, (64, 43), (12, 8)

        def grid(self) -> np.ndarray:
            return grid

    explorer = explore(both, picture, features=Patches(), points=np.zeros((12, 2)))
    assert explorer.payload["poolable"] == "sam"
    explorer._handle({"kind": "recluster", "settings": {"embedding": "other", "pooling": "any"}})
    np.testing.assert_array_equal(explorer.segments.embedding("other"), other)
    assert "samlab.pool" not in explorer.code()
    explorer._handle({"kind": "recluster", "settings": {"embedding": "sam"}})
    assert 'samlab.pool(features, segments, how="any")' in explorer.code()


def test_in_colab_the_manager_of_third_party_widgets_is_switched_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import anywidget._util

    calls: list[int] = []
    output = SimpleNamespace(
        enable_custom_widget_manager=lambda: calls.append(1),
        _widgets=SimpleNamespace(_installed_url="https://example.com/manager"),
    )
    anywidget._util.enable_custom_widget_manager_once.cache_clear()
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(output=output))
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    explorer = explorer_of(12)
    assert calls == [1]
    data, metadata = explorer._repr_mimebundle_()
    view = "application/vnd.jupyter.widget-view+json"
    assert view in data
    manager = metadata[view]["colab"]["custom_widget_manager"]
    assert manager == {"url": "https://example.com/manager"}
    anywidget._util.enable_custom_widget_manager_once.cache_clear()


def test_a_frame_has_a_still_picture_for_print() -> None:
    still = jpeg(np.zeros((4, 6, 3), np.uint8))
    text = html.frame("<p title='\"'>", 300, still, "a <b>")
    assert (
        f'<img src="data:image/jpeg;base64,{b64encode(still).decode()}" alt="a &lt;b&gt;"' in text
    )
    assert 'srcdoc="&lt;p title=&#39;&#34;&#39;&gt;"' in text


def test_fill_gives_noise_the_nearest_class_at_every_step_and_in_the_code() -> None:
    segments, picture = strips(40)
    rng = np.random.default_rng(5)
    vectors = segments.embedding() + rng.normal(size=(40, 16)) * 0.15
    segments = segments.with_embedding("sam", vectors.astype(np.float32))
    radii = samlab.sweep(segments, min_samples=4)
    eps = float(radii.eps[radii.noise_fraction < 0.4][0])
    explorer = explore(segments, picture, eps=eps, min_samples=4, points=np.zeros((40, 2)))
    bare = explorer.labels
    assert not explorer.fill
    explorer.fill = True
    expected = samlab.cluster(segments, eps, 4, fill=True).labels
    assert adjusted_rand_score(explorer.labels, expected) == 1.0
    assert ((explorer.labels < 0) == (expected < 0)).all()
    assert (explorer.labels != bare).any()
    names: dict[str, Any] = {"samlab": samlab, "segments": segments}
    exec(explorer.code(), names)
    assert names["segments"].labels.tolist() == expected.tolist()
    rows = np.frombuffer(explorer.sweep["filled"], "<i2").reshape(-1, 40)
    for radius, row in zip(explorer.sweep["values"], rows, strict=True):
        own = samlab.cluster(segments, radius, 4, fill=True).labels
        assert adjusted_rand_score(row, own) == 1.0
    explorer.fill = False
    assert explorer.labels.tolist() == bare.tolist()
