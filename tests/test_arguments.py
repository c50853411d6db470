"""What public functions are called with is checked against their annotations."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count, Positive, Range, Seed, Share


@checked_arguments
def numbers(
    count: Count = 1, seed: Seed = 0, share: Share = 0.5, rate: Positive = 1.0,
    radius: Annotated[float, Range(2, 5)] | None = None,
) -> tuple[float, ...]:  # fmt: skip
    return count, seed, share, rate


@checked_arguments
def arrays(values: np.ndarray, names: NDArray[np.object_] | None = None) -> tuple[int, ...]:
    return values.shape


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"count": 0}, "Expected count of numbers to be a whole number from 1 up, got 0 (int)."),
        ({"seed": -1}, "seed of numbers to be a whole number from 0 to 4294967295, got -1 (int)."),
        ({"share": 1.5}, "Expected share of numbers to be a number from 0 to 1, got 1.5 (float)."),
        ({"rate": 0.0}, "Expected rate of numbers to be a number above 0, got 0.0 (float)."),
        ({"rate": math.inf}, "Expected rate of numbers to be a number above 0, got inf (float)."),
        ({"rate": math.nan}, "Expected rate of numbers to be a number above 0, got nan (float)."),
        ({"radius": 1}, "radius of numbers to be a number from 2 to 5 or None, got 1 (int)."),
        ({"count": "x"}, "count of numbers to be a whole number from 1 up, got 'x' (str)."),
    ],
)
def test_numbers_out_of_range_are_named(wrong, words) -> None:
    with pytest.raises(InputError) as error:
        numbers(**wrong)
    assert words in str(error.value)


@given(st.integers(1, 10**9), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_numbers_in_range_go_through_as_they_are(count, seed, share) -> None:
    assert numbers(count, seed, share) == (count, seed, share, 1.0)
    assert numbers(np.int64(count)) == (count, 0, 0.5, 1.0)


def test_lists_become_arrays_and_texts_are_no_numbers() -> None:
    assert arrays([[1, 2, 3]]) == (1, 3)
    assert arrays(np.eye(2), np.array(["a", "b"], object)) == (2, 2)
    for texts in (["a"], np.array(["a"]), np.array([None])):
        with pytest.raises(InputError, match=r"Expected values of arrays to be an array of numb"):
            arrays(texts)
    with pytest.raises(InputError, match=r"names of arrays to be an array of texts or None, got"):
        arrays([1], "a")
