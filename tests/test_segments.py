"""The table: columns, selection, label maps, round trips, immutability, emptiness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from samlab import masks
from samlab.errors import FormatError, InputError
from samlab.segments import Segments

COLUMNS = ("boxes", "areas", "predicted_iou", "stability_score", "points", "labels", "image_ids")


def make(n: int = 5, size: tuple[int, int] = (12, 16), seed: int = 0) -> Segments:
    rng = np.random.default_rng(seed)
    return Segments(
        rles=masks.encode(rng.random((n, *size)) > 0.6),
        predicted_iou=rng.random(n),
        stability_score=rng.random(n),
        points=rng.random((n, 2)) * 10,
        labels=rng.integers(-1, 3, n),
        embeddings={"sam": rng.normal(size=(n, 8)), "color": rng.normal(size=(n, 3))},
        scores={"detection": rng.random(n), "text": rng.random((n, 3))},
        image_size=size,
        image_id="a.png",
        class_names={1: "coin"},
        provenance={"model": "tiny", "parameters": {"points_per_side": 32}},
    )


def assert_equal(a: Segments, b: Segments) -> None:
    assert list(a.rles) == list(b.rles)
    for name in COLUMNS:
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype, name
        np.testing.assert_array_equal(left, right, err_msg=name)
    assert list(a.embeddings) == list(b.embeddings)
    for name in a.embeddings:
        np.testing.assert_array_equal(a.embeddings[name], b.embeddings[name])
    assert set(a.scores) == set(b.scores)
    for name in a.scores:
        np.testing.assert_array_equal(a.scores[name], b.scores[name])
    assert a.image_size == b.image_size
    assert a.class_names == b.class_names
    assert a.provenance == b.provenance


@given(n=st.integers(0, 6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_parquet_round_trip(tmp_path_factory, n, seed) -> None:
    segments = make(n, seed=seed)
    path = segments.to_parquet(tmp_path_factory.mktemp("p") / "s.parquet")
    assert_equal(Segments.from_parquet(path), segments)


def test_parquet_opens_as_a_plain_table(tmp_path) -> None:
    import pandas as pd

    frame = pd.read_parquet(make().to_parquet(tmp_path / "s.parquet"))
    assert frame["class_name"].isin(["unassigned", "class 0", "coin", "class 2"]).all()
    assert len(frame["embedding_sam"][0]) == 8


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch) -> None:
    path = make().to_parquet(tmp_path / "s.parquet")
    before = path.read_bytes()

    def fail(table, where, **_options):
        where.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("samlab.segments.tables.pq.write_table", fail)
    with pytest.raises(OSError, match="No space left"):
        make(3).to_parquet(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.parquet"]


def test_foreign_damaged_and_missing_files(tmp_path) -> None:
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"x": [1]}), foreign)
    with pytest.raises(FormatError, match=r"has no 'samlab.segments' metadata. Columns: x"):
        Segments.from_parquet(foreign)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 but not really")
    with pytest.raises(FormatError, match="is not a Parquet file, or is damaged"):
        Segments.from_parquet(damaged)
    with pytest.raises(FormatError, match="the file does not exist"):
        Segments.from_parquet(tmp_path / "none.parquet")


def test_records_are_those_of_sams_generator() -> None:
    segments = make()
    back = Segments.from_records(segments.to_records(), image_id="a.png")
    assert list(back.rles) == list(segments.rles)
    for name in ("boxes", "areas", "predicted_iou", "stability_score", "points"):
        np.testing.assert_allclose(getattr(back, name), getattr(segments, name), rtol=1e-6)


def test_records_in_binary_and_uncompressed_form() -> None:
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:4] = True
    plain = {"size": [4, 5], "counts": [9, 2, 2, 2, 5]}
    for form in (mask, plain, masks.encode(mask)):
        segments = Segments.from_records([{"segmentation": form}])
        assert np.array_equal(segments.mask(0), mask)
        assert segments.boxes.tolist() == [[2, 1, 4, 3]]
        assert np.isnan(segments.predicted_iou).all()


def test_records_without_a_mask_are_refused() -> None:
    with pytest.raises(FormatError, match="record 0 has no field 'segmentation', only .'area'"):
        Segments.from_records([{"area": 3}])


@given(hnp.arrays(bool, st.tuples(st.integers(0, 6), st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=50, deadline=None)
def test_label_map_has_the_smallest_on_top(stack) -> None:
    size = stack.shape[1:]
    segments = Segments(rles=masks.encode(stack), image_size=size)
    painted = segments.label_map(np.arange(len(stack)))
    areas = stack.sum((1, 2))
    for y in range(size[0]):
        for x in range(size[1]):
            here = np.flatnonzero(stack[:, y, x])
            if len(here) == 0:
                assert painted[y, x] == -1
            else:
                assert stack[painted[y, x], y, x]
                assert areas[painted[y, x]] == areas[here].min()


def test_selection() -> None:
    segments = make()
    assert_equal(segments[[0, 1]], segments[:2])
    assert_equal(segments[np.arange(5) < 2], segments[:2])
    assert_equal(segments[-1], segments[[4]])
    assert len(segments[[]]) == 0
    assert [len(s) for s in segments] == [1] * 5


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ([9], r"segment ids from 0 to 4, got 9 to 9"),
        ([True, False], r"boolean mask of shape \(5,\)"),
        ([0.5], "a slice, a boolean mask or integer ids"),
    ],
)
def test_wrong_selection_is_named(index, message) -> None:
    with pytest.raises(InputError, match=message):
        make()[index]


def test_columns_of_the_wrong_length_are_named() -> None:
    rles = masks.encode(np.ones((2, 3, 3), bool))
    with pytest.raises(InputError, match=r"column 'labels' to have the shape \(2,\)"):
        Segments(rles=rles, labels=np.zeros(3))
    with pytest.raises(InputError, match=r"embedding 'x' to have the shape \(2, D\)"):
        Segments(rles=rles, embeddings={"x": np.zeros((3, 4))})
    with pytest.raises(InputError, match=r"masks of size \(9, 9\)"):
        Segments(rles=rles, image_size=(9, 9))


def test_scores_go_along_and_are_no_vectors(tmp_path) -> None:
    """A column of numbers for each segment, which nothing takes for an embedding."""
    segments = make()
    some = segments[[3, 1]]
    np.testing.assert_array_equal(some.scores["detection"], segments.scores["detection"][[3, 1]])
    np.testing.assert_array_equal(some.scores["text"], segments.scores["text"][[3, 1]])
    frame = segments.to_pandas()
    np.testing.assert_array_equal(frame["score_detection"], segments.scores["detection"])
    assert "score_text" not in frame
    file = pq.read_table(segments.to_parquet(tmp_path / "s.parquet"))
    assert file["score_text"].to_pylist()[2] == segments.scores["text"][2].tolist()
    plain = replace(segments, embeddings={})
    with pytest.raises(InputError, match="any embedding; they have none"):
        plain.embedding()
    added = plain.with_scores("own", np.arange(5))
    assert list(added.scores) == ["detection", "text", "own"]
    with pytest.raises(ValueError, match="read-only"):
        added.scores["own"][0] = 1
    for wrong in (np.zeros(4), np.zeros((5, 2, 2))):
        with pytest.raises(InputError, match=r"scores 'own' to have the shape \(5,\) or \(5, K\)"):
            plain.with_scores("own", wrong)


def test_concat_keeps_scores_that_all_have_in_one_shape() -> None:
    a, b = make(3), make(2)
    both = Segments.concat([a, b])
    assert both.scores["detection"].tolist() == [*a.scores["detection"], *b.scores["detection"]]
    assert both.scores["text"].shape == (5, 3)
    assert list(Segments.concat([a, replace(b, scores={})]).scores) == []
    other = b.with_scores("text", np.zeros((2, 7)))
    assert list(Segments.concat([a, other]).scores) == ["detection"]


def test_files_without_scores_are_read(tmp_path) -> None:
    segments = make()
    old = replace(segments, scores={})
    names = [n for n in segments.to_arrow().column_names if not n.startswith("score_")]
    assert_equal(Segments.from_arrow(segments.to_arrow().select(names)), old)


def test_nothing_can_be_changed_in_place() -> None:
    segments = make()
    with pytest.raises(ValueError, match="read-only"):
        segments.labels[0] = 7
    with pytest.raises(AttributeError):
        segments.labels = np.zeros(5)  # type: ignore[misc]
    given = np.zeros(5, np.int64)
    changed = segments.with_labels(given, {0: "all"})
    given[:] = 3
    assert changed.labels.tolist() == [0] * 5
    assert changed.class_name(0) == "all"
    assert segments.class_names == {1: "coin"}


def test_missing_embedding_is_named() -> None:
    with pytest.raises(InputError, match="the embedding 'clip'; they have 'sam', 'color'"):
        make().embedding("clip")
    with pytest.raises(InputError, match="any embedding; they have none"):
        Segments(image_size=(2, 2)).embedding()
    assert make().embedding().shape == (5, 8)


def test_concat_keeps_what_all_have() -> None:
    a, b = make(3), replace(make(2, size=(6, 6), seed=1), image_id="b.png", image_ids=None)
    both = Segments.concat([a, b[[]], b.with_embedding("more", np.zeros((2, 2)))])
    assert len(both) == 5
    assert both.image_size == (0, 0)
    assert list(both.embeddings) == ["sam", "color"]
    with pytest.raises(InputError, match="segments of one picture"):
        both.label_map()
    first = both[both.image_ids == "a.png"]
    assert first.image_id == "a.png"
    assert first.label_map(np.zeros(3)).shape == (12, 16)
    assert len(Segments.concat([])) == 0


def test_empty_goes_through_everything(tmp_path) -> None:
    scores = {"detection": np.zeros(0), "text": np.zeros((0, 3))}
    empty = Segments(
        image_size=(4, 6), image_id="e", embeddings={"sam": np.zeros((0, 8))}, scores=scores
    )
    assert len(empty) == 0
    assert empty.label_map().tolist() == [[-1] * 6] * 4
    assert empty.to_records() == []
    assert list(empty.to_pandas().columns) == list(make().to_pandas().columns)
    assert_equal(Segments.from_parquet(empty.to_parquet(tmp_path / "e.parquet")), empty)
    assert empty.embedding("sam").shape == (0, 8)
    assert len(Segments.from_records([], image_size=(4, 6))) == 0
    assert "Segments(0 of 'e', 6 x 4 px" in repr(empty)
