"""Rings around masks: pycocotools and OpenCV paint the masks from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage

from samlab import masks
from samlab.formats.polygons import (
    edge_polygons,
    fill_edges,
    fill_pixels,
    join_lines,
    pixel_polygon,
    rings,
    simplify,
)  # fmt: skip
from tests.formats.shapes import RINGED, SIZE, blobs

cv2 = pytest.importorskip("cv2", reason="opencv is not installed")


def opencv(polygon: np.ndarray, size: tuple[int, int] = SIZE) -> np.ndarray:
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [polygon.astype(np.int32)], 1)
    return canvas.astype(bool)


def holes_of(mask: np.ndarray) -> int:
    outside = np.pad(~mask, 1, constant_values=True)
    return int(ndimage.label(outside)[1]) - 1  # 4-connected, as the mask's parts are 8-connected


@settings(deadline=None, max_examples=150)
@given(mask=blobs())
def test_edge_polygons_are_exact_in_pycocotools(mask: np.ndarray) -> None:
    found = rings(mask)
    parts = int(ndimage.label(mask, np.ones((3, 3)))[1])
    assert sum(not ring.hole for ring in found) == parts
    assert sum(ring.hole for ring in found) == holes_of(mask)
    polygons = edge_polygons(mask)
    assert len(polygons) == parts
    np.testing.assert_array_equal(masks.decode(fill_edges(polygons, SIZE)), mask)


@settings(deadline=None, max_examples=150)
@given(mask=blobs())
def test_opencv_paints_a_solid_part_exactly_and_never_misses_a_pixel(mask: np.ndarray) -> None:
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    solid = ndimage.binary_fill_holes(parts == 1)
    np.testing.assert_array_equal(opencv(pixel_polygon(solid)), solid)
    np.testing.assert_array_equal(fill_pixels(pixel_polygon(solid), SIZE), solid)
    whole = opencv(pixel_polygon(mask))
    assert (whole | ~mask).all()
    np.testing.assert_array_equal(fill_pixels(pixel_polygon(mask), SIZE), whole)
    loose = pixel_polygon(mask, 1.5)
    np.testing.assert_array_equal(fill_pixels(loose, SIZE), opencv(loose))


def test_bridges_of_a_mask_with_holes_and_parts_cost_little() -> None:
    polygon = pixel_polygon(RINGED)
    back = opencv(polygon)
    assert (back & RINGED).sum() / (back | RINGED).sum() > 0.9
    np.testing.assert_array_equal(back, fill_pixels(polygon, SIZE))


def test_small_things() -> None:
    one = np.zeros(SIZE, bool)
    one[29, 39] = True
    assert pixel_polygon(one).tolist() == [[39, 29]] * 3
    assert pixel_polygon(np.zeros(SIZE, bool)).shape == (0, 2)
    assert rings(np.zeros((0, 0), bool)) == []
    assert not fill_pixels(np.zeros((0, 2)), SIZE).any()
    (ring,) = rings(np.ones((3, 2), bool))
    assert ring.edge.tolist() == [[0, 0], [2, 0], [2, 3], [0, 3]]
    assert sorted(ring.pixels.tolist()) == [[0, 0], [0, 2], [1, 0], [1, 2]]


def test_many_holes_are_joined_without_recursion() -> None:
    mask = np.ones((120, 120), bool)
    mask[1::3, 1::3] = False
    (polygon,) = edge_polygons(mask)
    assert len(rings(mask)) == 1601
    np.testing.assert_array_equal(masks.decode(fill_edges([polygon], mask.shape)), mask)


def test_a_line_keeps_its_area_however_much_it_is_simplified() -> None:
    square = np.array([[0, 0], [1, 0], [2, 0], [2, 2], [0, 2]])
    assert simplify(square, 0.5).tolist() == [[0, 0], [2, 0], [2, 2], [0, 2]]
    assert simplify(square, 99).tolist() == square.tolist()
    assert len(join_lines([square, square + 10])) == 12
