"""Fault matrix, classes: a label means what its name says, and nothing is rounded in silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samlab import Segments, masks
from samlab.errors import InputError


def table(labels: list[int], names: dict[int, str], picture: str) -> Segments:
    rles = [masks.encode(np.eye(4, dtype=bool)) for _ in labels]
    return Segments(rles, labels=np.array(labels), class_names=names, image_id=picture)


def test_concat_keeps_each_name_with_its_segments() -> None:
    both = Segments.concat([table([0], {0: "cat"}, "a"), table([0], {0: "dog"}, "b")])
    assert [both.class_name(int(label)) for label in both.labels] == ["cat", "dog"]


def test_concat_gives_one_name_one_number() -> None:
    both = Segments.concat([table([0], {0: "cat"}, "a"), table([3], {3: "cat"}, "b")])
    assert both.labels.tolist() == [0, 0]
    assert both.class_names == {0: "cat"}


def test_concat_leaves_numbers_that_agree() -> None:
    names = {0: "cat", 1: "dog"}
    both = Segments.concat([table([1, -1, 5], names, "a"), table([0], names, "b")])
    assert both.labels.tolist() == [1, -1, 5, 0]
    assert both.class_names == names


some_names = st.dictionaries(st.integers(0, 4), st.sampled_from("abcde"), max_size=4)


@given(st.lists(st.tuples(some_names, st.lists(st.integers(-1, 4), min_size=1)), min_size=1))
def test_any_concat_keeps_every_name(parts) -> None:
    tables = [table(labels, names, str(i)) for i, (names, labels) in enumerate(parts)]
    both = Segments.concat(tables)
    said = [t.class_names.get(int(label)) for t in tables for label in t.labels]
    now = [both.class_names.get(int(label)) for label in both.labels]
    for before, after in zip(said, now, strict=True):
        assert before is None or before == after


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.7], "whole numbers, -1 for no class; got 0.7"),
        ([np.nan], "got nan"),
        ([np.inf], "got inf"),
        (np.array([2**64 - 1], np.uint64), "up to 9223372036854775807, got 18446744073709551615"),
        (["cat"], r"Map classes to numbers first|an array of numbers, got \['cat'\]"),
    ],
)
def test_labels_that_are_no_numbers_are_refused(labels, message) -> None:
    one = table([0], {}, "a")
    with pytest.raises(InputError, match=message):
        one.with_labels(labels)
    with pytest.raises(InputError, match=message):
        Segments(one.rles, labels=labels)
    with pytest.raises(InputError, match=message):
        one.label_map(labels)


def test_whole_floats_are_labels() -> None:
    assert table([0], {}, "a").with_labels([2.0]).labels.tolist() == [2]


@pytest.mark.parametrize("label", [2**40, -(2**31) - 1])
def test_a_label_map_refuses_what_it_cannot_hold(label) -> None:
    with pytest.raises(InputError, match="which a label map holds; got"):
        table([0], {}, "a").label_map([label])
