"""Fault matrix, samlab's own files: damage is seen, and nothing crafted is believed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from samlab import MemoryBank, Segments, masks
from samlab.bank.heads import Head
from samlab.errors import FormatError, SamlabError

FLIPS = 300


def some_segments() -> Segments:
    rng = np.random.default_rng(0)
    rles = [masks.encode(rng.random((20, 30)) < 0.5) for _ in range(12)]
    return Segments(
        rles,
        labels=np.arange(12) % 3,
        embeddings={"sam": rng.random((12, 16))},
        scores={"detection": rng.random(12)},
        class_names={0: "cat", 1: "dog"},
        image_id="a.jpg",
        provenance={"model": "tiny"},
    )


def some_bank() -> MemoryBank:
    rng = np.random.default_rng(0)
    vectors = rng.random((40, 16))
    return MemoryBank(
        rng.random((8, 16)), np.arange(8) % 2, ("cat", "dog"), head=Head.standardising(vectors)
    )


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def same(a: Segments, b: Segments) -> bool:
    return a.to_arrow().equals(b.to_arrow()) and str(a.to_arrow().schema) == str(
        b.to_arrow().schema
    )


def test_a_flipped_bit_in_a_parquet_file_of_segments_is_never_read_silently(tmp_path) -> None:
    segments = some_segments()
    data = segments.to_parquet(tmp_path / "a.parquet").read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for _ in range(FLIPS):
        (tmp_path / "b.parquet").write_bytes(flipped(data, rng))
        try:
            back = Segments.from_parquet(tmp_path / "b.parquet")
        except SamlabError:
            refused += 1
        else:  # where nobody reads: the same in every number and word
            assert back.to_arrow().equals(segments.to_arrow(), check_metadata=True)
    assert refused > FLIPS // 2


def test_a_flipped_bit_in_a_bank_is_never_read_silently(tmp_path) -> None:
    bank = some_bank()
    data = bank.save(tmp_path / "a.safetensors").read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for _ in range(FLIPS):
        (tmp_path / "b.safetensors").write_bytes(flipped(data, rng))
        try:
            back = MemoryBank.load(tmp_path / "b.safetensors")
        except SamlabError:
            refused += 1
        else:
            assert back.equals(bank)
            assert back.head is not None
            assert np.array_equal(back.head.mean, bank.head.mean)
            assert (back.class_names, back.notes) == (bank.class_names, bank.notes)
    assert refused > FLIPS // 2


def test_a_file_without_a_hash_is_read_as_before(tmp_path) -> None:
    pq.write_table(some_segments().to_arrow(), tmp_path / "a.parquet")
    assert same(Segments.from_parquet(tmp_path / "a.parquet"), some_segments())


def test_a_table_that_another_program_changed_says_how_to_read_it(tmp_path) -> None:
    path = some_segments().to_parquet(tmp_path / "a.parquet")
    pq.write_table(pq.read_table(path).slice(0, 5), path)
    with pytest.raises(FormatError, match="another program changed it.*Segments.from_arrow"):
        Segments.from_parquet(path)
    assert len(Segments.from_arrow(pq.read_table(path))) == 5


# -- crafted tables of segments -------------------------------------------------------------------


def crafted(path: Path, meta: Any = None, drop: str = "", **columns: Any) -> Path:
    """A Parquet file of segments with other columns or another description."""
    table = some_segments().to_arrow()
    about = json.loads(table.schema.metadata[b"samlab.segments"])
    for name, values in columns.items():
        array = values if isinstance(values, pa.Array) else pa.array([values] * len(table))
        table = table.set_column(table.column_names.index(name), name, array)
    if drop:
        table = table.drop_columns([drop])
    text = meta if isinstance(meta, bytes) else json.dumps({**about, **(meta or {})}).encode()
    pq.write_table(table.replace_schema_metadata({b"samlab.segments": text}), path)
    return path


COLUMNS = [
    ("area", -4, "row 0 states -4, and its mask has"),
    ("area", 2.5, "whole numbers in the column 'area', got double"),
    ("area", None, "whole numbers in the column 'area', got null"),
    ("x0", float("nan"), "row 0 has"),
    ("x1", -1e9, "row 0 has"),
    ("y0", "3", "numbers in the column 'y0', got string"),
    ("label", 0.5, "whole numbers in the column 'label', got double"),
    ("label", True, "whole numbers in the column 'label', got bool"),
    ("image_id", None, "text in the column 'image_id', got null"),
    ("image_id", 3, "text in the column 'image_id', got int64"),
    ("mask_counts", b"\xff", "text in the column 'mask_counts', got binary"),
    ("mask_counts", "1", "its run lengths do not add up to its size"),
    ("mask_height", 2**40, "is not one of 1 to"),
    ("mask_height", 0, "is not one of 1 to"),
    ("embedding_sam", 1.0, "rows of equally many numbers in the column 'embedding_sam', got doubl"),
    ("embedding_sam", [1.0, 2.0], "rows of equally many numbers in the column 'embedding_sam', g"),
    ("score_detection", "x", "rows of equally many numbers in the column 'score_detection', got s"),
]


@pytest.mark.parametrize(("name", "value", "message"), COLUMNS)
def test_a_crafted_column_of_segments_is_refused_by_name(tmp_path, name, value, message) -> None:
    with pytest.raises(SamlabError, match=message):
        Segments.from_parquet(crafted(tmp_path / "a.parquet", **{name: value}))


@pytest.mark.parametrize("name", ["image_id", "label", "area", "x0", "mask_counts", "point_y"])
def test_a_missing_column_of_segments_is_named(tmp_path, name) -> None:
    with pytest.raises(FormatError, match=f"the table misses {name}"):
        Segments.from_parquet(crafted(tmp_path / "a.parquet", drop=name))


METAS = [
    (b"{", "is not JSON"),
    (b"[" * 100_000, "is not JSON"),
    (b"\xff", "is not JSON"),
    (b"[]", "as an object in JSON"),
    ({"version": "1"}, "format version as a number"),
    ({"version": 99}, "upgrade samlab"),
    ({"image_size": [1]}, "image_size as two whole numbers"),
    ({"image_size": [-1, 2]}, "image_size as two whole numbers"),
    ({"image_size": [1e400, 2]}, "image_size as two whole numbers"),
    ({"image_size": [20, 31]}, "Expected masks of size"),
    ({"image_id": 3}, "image_id as text"),
    ({"class_names": {"x": "cat"}}, "class_names from numbers to text"),
    ({"class_names": {"1": 3}}, "class_names from numbers to text"),
    ({"class_names": None}, "class_names from numbers to text"),
    ({"provenance": 3}, "provenance as an object"),
]


@pytest.mark.parametrize(("meta", "message"), METAS)
def test_a_crafted_description_of_segments_is_refused(tmp_path, meta, message) -> None:
    with pytest.raises(SamlabError, match=message):
        Segments.from_parquet(crafted(tmp_path / "a.parquet", meta=meta))


# -- crafted banks --------------------------------------------------------------------------------


def crafted_bank(path: Path, words: Any = None, **tensors: Any) -> Path:
    """A bank's file with other words or tensors; a tensor that is None is left out."""
    some_bank().save(path)
    arrays = load_file(path)
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    about = json.loads(header["__metadata__"]["samlab.bank"])
    for name, value in tensors.items():
        arrays[name.replace("head_", "head.")] = value
    arrays = {name: value for name, value in arrays.items() if value is not None}
    text = words if isinstance(words, str) else json.dumps({**about, **(words or {})})
    save_file(arrays, path, metadata={"samlab.bank": text})
    return path


BANKS = [
    ({"words": "{"}, "is not JSON"),
    ({"words": "[" * 100_000}, "is not JSON"),
    ({"words": "[]"}, "to state its format version"),
    ({"words": {"version": "1"}}, "to state its format version"),
    ({"words": {"version": 99}}, "upgrade samlab"),
    ({"words": '{"version": 1}'}, "its field 'class_names' is missing"),
    ({"words": {"class_names": "cat"}}, "its field 'class_names' is 'cat'"),
    ({"words": {"class_names": [1, 2]}}, "its field 'class_names' is"),
    ({"words": {"class_names": ["cat", "cat"]}}, "every class name once"),
    ({"words": {"background": ["bird"]}}, "Expected classes of the bank"),
    ({"words": {"unknown_below": "0.5"}}, "its field 'unknown_below' is '0.5'"),
    ({"words": {"unknown_below": float("nan")}}, "its field 'unknown_below' is nan"),
    ({"words": {"embedding": None}}, "its field 'embedding' is None"),
    ({"words": {"provenance": []}}, "its field 'provenance' is"),
    ({"words": {"notes": 3}}, "its field 'notes' is 3"),
    ({"words": {"head": 3}}, "its field 'head' is 3"),
    ({"prototypes": np.zeros((0, 16), np.float32)}, "at least one prototype"),
    ({"prototypes": np.full((8, 16), np.nan, np.float32)}, "finite numbers in the tensor 'proto"),
    ({"prototypes": np.ones(8, np.float32)}, "vectors of shape"),
    ({"prototypes": None}, "misses the tensors prototypes"),
    ({"labels": np.full(8, 7)}, "one class index from 0 to 1"),
    ({"sizes": np.full(8, -4)}, "at least one example behind each prototype, got -4"),
    ({"weights": np.zeros(2, np.float32)}, "class weights above 0"),
    ({"head_mean": np.full(16, np.nan, np.float32)}, "finite numbers in the tensor 'head.mean'"),
    ({"head_spread": np.zeros(16, np.float32)}, "Expected the tensors of a head"),
    ({"head_spread": np.ones(3, np.float32)}, "Expected the tensors of a head"),
    ({"head_mean": None}, "Expected the tensors of a head, but 'mean' is missing"),
]


@pytest.mark.parametrize(("what", "message"), BANKS)
def test_a_crafted_bank_is_refused_by_name(tmp_path, what, message) -> None:
    with pytest.raises(SamlabError, match=message):
        MemoryBank.load(crafted_bank(tmp_path / "a.safetensors", **what))
