"""`level` and `parent`: kept by selection, concat, records, Parquet, pandas and COCO."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samlab import masks
from samlab.errors import InputError
from samlab.formats.coco import write_coco
from samlab.segments import Segments


def nested(name="a.jpg"):
    """A whole, a part of it, a sub-part of that, and something else."""
    dense = np.zeros((4, 8, 8), bool)
    dense[0, :6], dense[1, :4, :4], dense[2, :2, :2], dense[3, 7] = 1, 1, 1, 1
    return Segments(
        [masks.encode(mask) for mask in dense],
        level=[0, 1, 2, 0],
        parent=[-1, 0, 1, -1],
        image_id=name,
    )


def test_unknown_is_minus_one():
    one = Segments([masks.encode(np.ones((2, 2), bool))])
    assert one.level.tolist() == one.parent.tolist() == [-1]
    with pytest.raises(
        InputError, match="parents to be rows from 0 to 0, or -1 for none; got 3 to 3"
    ):
        Segments(one.rles, parent=[3])


def test_selecting_renumbers_and_skips_to_the_nearest_forebear():
    found = nested()
    assert found[[2, 1, 0]].parent.tolist() == [1, 2, -1]
    assert found[[0, 2]].parent.tolist() == [-1, 0]
    assert found[[2, 3]].parent.tolist() == [-1, -1]
    assert found[found.level == 0].level.tolist() == [0, 0]
    assert len(found[:0].parent) == 0


@given(st.lists(st.integers(-1, 9), min_size=10, max_size=10), st.sets(st.integers(0, 9)))
def test_a_parent_is_always_a_forebear_that_is_there(above, kept):
    parent = np.array([min(p, i - 1) for i, p in enumerate(above)])  # no circles
    rles = [masks.encode(np.ones((2, 2), bool))] * 10
    ids = np.array(sorted(kept), int)
    found = Segments(rles, parent=parent)[ids]
    for row, old in enumerate(ids):
        above_it = parent[old]
        while above_it >= 0 and above_it not in kept:
            above_it = parent[above_it]
        assert (ids[found.parent[row]] if found.parent[row] >= 0 else -1) == above_it


def test_concat_shifts_parents():
    both = Segments.concat([nested(), nested("b.jpg")])
    assert both.parent.tolist() == [-1, 0, 1, -1, -1, 4, 5, -1]
    assert both[both.image_ids == "b.jpg"].parent.tolist() == [-1, 0, 1, -1]


def test_tables_keep_both():
    both = Segments.concat([nested(), nested("b.jpg")])
    assert both.to_pandas().parent.tolist() == both.parent.tolist()
    for again in (
        Segments.from_arrow(both.to_arrow()),
        Segments.from_records(both.to_records()),
    ):
        assert again.parent.tolist() == both.parent.tolist()
        assert again.level.tolist() == both.level.tolist()
    single = pa.concat_tables([nested().to_arrow(), nested("b.jpg").to_arrow()])
    assert Segments.from_arrow(single).parent.tolist() == both.parent.tolist()
    plain = Segments(both.rles[:1]).to_records()[0]
    assert "level" not in plain
    assert "parent" not in plain


def test_files_without_the_columns_open(tmp_path):
    old = nested().to_arrow().drop_columns(["level", "parent"])
    pq.write_table(old, tmp_path / "old.parquet")
    assert Segments.from_parquet(tmp_path / "old.parquet").parent.tolist() == [-1] * 4
    mixed = pa.concat_tables([old, nested("b.jpg").to_arrow()], promote_options="default")
    assert Segments.from_arrow(mixed).parent.tolist() == [-1] * 5 + [4, 5, -1]
    assert Segments.from_arrow(mixed).level.tolist() == [-1] * 4 + [0, 1, 2, 0]


def test_coco_names_the_annotation_that_holds_another(tmp_path):
    path = tmp_path / "c.json"
    write_coco(Segments.concat([nested(), nested("b.jpg")]), path)
    rows = json.loads(path.read_text())["annotations"]
    assert [row.get("parent") for row in rows] == [None, 1, 2, None, None, 5, 6, None]
    assert [row.get("level") for row in rows] == [0, 1, 2, 0] * 2
