"""What a scene sends, and its JavaScript run by node against NumPy and pycocotools."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samlab import masks
from samlab.errors import InputError
from samlab.segments import Segments
from samlab.view.scene import scene
from tests.view.javascript import needs_node, run_js

RAW = (
    "({counts, areas, width, height, raster}) => openScene({counts, areas, width, height, raster})"
)


def overlapping(side: int = 40, n: int = 12, seed: int = 0) -> Segments:
    rng = np.random.default_rng(seed)
    stack = np.zeros((n, side, side + 7), bool)
    for i in range(n):
        y, x = rng.integers(0, side - 8, 2)
        h, w = rng.integers(3, 20, 2)
        stack[i, y : y + h, x : x + w] = True
        stack[i] &= rng.random(stack[i].shape) > 0.2
    return Segments(rles=masks.encode(stack))  # type: ignore[arg-type]


def raw(segments: Segments) -> dict[str, Any]:
    height, width = segments.image_size
    packed = scene(segments, np.zeros((height, width), np.uint8))
    return {key: packed[key] for key in ("counts", "areas", "width", "height", "raster")}


@needs_node
def test_js_decodes_what_pycocotools_encodes(rng: np.random.Generator) -> None:
    stack = [np.zeros((3, 5), bool), np.ones((5, 3), bool), np.ones((1, 1), bool)]
    for _ in range(60):
        shape = rng.integers(1, 70, 2)
        stack.append(rng.random(shape) < rng.random())
    stack.append(np.pad(np.ones((900, 2), bool), ((600, 600), (700, 1))))
    found = run_js(
        """({ masks }) => masks.map(([text, h, w]) => {
          const mask = decodeMask(text);
          const inside = [];
          for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
            if (maskHas(mask, h, x, y)) inside.push(y * w + x);
          }
          return inside;
        })""",
        masks=[[masks.encode(mask)["counts"], *mask.shape] for mask in stack],  # type: ignore[call-overload]
    )
    for inside, mask in zip(found, stack, strict=True):
        np.testing.assert_array_equal(inside, np.flatnonzero(mask))


@needs_node
def test_js_index_map_is_label_map() -> None:
    segments = overlapping()
    found = run_js(
        f"(input) => {{ const s = ({RAW})(input); const all = s.masks.map(() => true);"
        " const { index, seen } = paintIndex(s, all);"
        " return [Array.from(index), Array.from(seen)]; }",
        **raw(segments),
    )
    expected = segments.label_map(np.arange(len(segments)))
    np.testing.assert_array_equal(np.array(found[0]).reshape(segments.image_size) - 1, expected)
    np.testing.assert_array_equal(
        found[1], np.bincount(expected[expected >= 0], minlength=len(segments))
    )


@needs_node
def test_js_hidden_segments_cover_nothing_and_a_shrunk_raster_samples_centres() -> None:
    segments = overlapping(side=64)
    values = raw(segments)
    values["raster"] = [values["width"] // 2, values["height"] // 2]
    hidden = [i % 3 == 0 for i in range(len(segments))]
    found = run_js(
        f"(input) => {{ const s = ({RAW})(input);"
        " return Array.from(paintIndex(s, input.hidden.map((h) => !h)).index); }",
        **values,
        hidden=hidden,
    )
    shown = [i for i in range(len(segments)) if not hidden[i]]
    labels = np.full(len(segments), -1)
    labels[shown] = shown
    full = segments[shown].label_map(np.array(shown))
    h, w = values["height"], values["width"]
    rows = np.floor((np.arange(h // 2) + 0.5) * h / (h // 2)).astype(int)
    columns = np.floor((np.arange(w // 2) + 0.5) * w / (w // 2)).astype(int)
    np.testing.assert_array_equal(
        np.array(found).reshape(h // 2, w // 2) - 1, full[np.ix_(rows, columns)]
    )


@needs_node
def test_js_levels_go_outwards_and_round() -> None:
    big, middle, small = (np.zeros((20, 20), bool) for _ in range(3))
    big[:, :], middle[4:16, 4:16], small[8:12, 8:12] = True, True, True
    segments = Segments(rles=masks.encode(np.stack([middle, big, small])))  # type: ignore[arg-type]
    found = run_js(
        f"""(input) => {{
          const s = ({RAW})(input);
          const stack = segmentsAt(s, [1, 1, 1], 10, 10);
          const clicks = [];
          let selected = new Set();
          for (let i = 0; i < 4; i++) {{
            const id = nextLevel(stack, selected);
            clicks.push(id);
            selected = new Set([id]);
          }}
          return [stack, clicks, segmentsAt(s, [1, 1, 1], 0, 0), segmentsAt(s, [1, 1, 1], 20, 3)];
        }}""",
        **raw(segments),
    )
    assert found == [[2, 0, 1], [2, 0, 1, 2], [1], []]


@needs_node
def test_js_outline_lies_between_inside_and_outside() -> None:
    segments = overlapping(side=16, n=3, seed=3)
    found = run_js(
        f"(input) => {{ const s = ({RAW})(input);"
        " return s.masks.map((m) => outlineEdges(m, s.height)); }",
        **raw(segments),
    )
    for i, flat in enumerate(found):
        mask = np.pad(segments.mask(i), 1)
        borders = set()
        for x0, y0, x1, y1 in np.array(flat).reshape(-1, 4).tolist():
            borders |= {("h", x, y0) for x in range(x0, x1)} if y0 == y1 else set()
            borders |= {("v", x0, y) for y in range(y0, y1)} if x0 == x1 else set()
        expected = set()
        for y, x in zip(*np.nonzero(mask[1:, :] != mask[:-1, :]), strict=True):
            expected.add(("h", int(x) - 1, int(y)))
        for y, x in zip(*np.nonzero(mask[:, 1:] != mask[:, :-1]), strict=True):
            expected.add(("v", int(x), int(y) - 1))
        assert borders == expected


@needs_node
def test_js_view_has_the_size_of_the_screen_and_marks_edges() -> None:
    found = run_js(
        """() => Array.from(viewIndex(new Uint16Array([1, 1, 0, 2]), [2, 2], [6, 5], 2, 1, 1,
          false))"""
    )
    assert np.array(found).reshape(5, 6).tolist() == [
        [0, 1, 1, 1, 1, 0],
        [1, 2, 2, 2, 3, 0],
        [1, 3, 3, 3, 3, 0],
        [0, 0, 1, 4, 5, 0],
        [0, 0, 1, 4, 5, 0],
    ]


def test_scene_of_a_large_picture_is_shrunk_and_unknown_values_are_none() -> None:
    segments = Segments(rles=[masks.encode(np.ones((3000, 4000), bool))])  # type: ignore[list-item]
    packed = scene(segments, np.zeros((3000, 4000), np.uint8))
    assert packed["raster"] == [2048, 1536]
    assert Image.open(BytesIO(packed["picture"])).size == (2048, 1536)
    assert (packed["iou"], packed["areas"]) == ([None], [12_000_000])


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"made from, \(40, 47\) \(H, W\); got .* \(47, 40\)"):
        scene(overlapping(), np.zeros((47, 40), np.uint8))
