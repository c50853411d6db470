"""What the canvas sends, and its JavaScript run by node against NumPy and pycocotools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from samlab import masks
from samlab.errors import InputError
from samlab.segments import Segments
from samlab.view.canvas.canvas import Canvas
from samlab.view.scene import scene
from samlab.view.widget import base as widget


def node_path() -> str | None:
    """Node from the system, or the one inside playwright."""
    try:
        import playwright
    except ImportError:
        return shutil.which("node")
    bundled = Path(playwright.__file__).parent / "driver" / "node"
    return str(bundled) if bundled.exists() else shutil.which("node")


needs_node = pytest.mark.skipif(
    node_path() is None, reason="no node, nor playwright, which has one"
)


def run_js(expression: str, **values: Any) -> Any:
    """The value of a JavaScript expression over the widgets' functions.

    The program goes through standard input: as an argument it would be longer than Linux allows.
    """
    program = (
        widget.script()
        + f"\nconst input = {json.dumps(values)};"
        + f"\nconsole.log(JSON.stringify(({expression})(input)));"
    )
    done = subprocess.run([str(node_path()), "-"], input=program, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def overlapping(side: int = 40, n: int = 12, seed: int = 0) -> Segments:
    rng = np.random.default_rng(seed)
    stack = np.zeros((n, side, side + 7), bool)
    for i in range(n):
        y, x = rng.integers(0, side - 8, 2)
        h, w = rng.integers(3, 20, 2)
        stack[i, y : y + h, x : x + w] = True
        stack[i] &= rng.random(stack[i].shape) > 0.2
    return Segments(rles=masks.encode(stack))  # type: ignore[arg-type]


RAW = (
    "({counts, areas, width, height, raster}) => openScene({counts, areas, width, height, raster})"
)


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


@needs_node
def test_js_names_follow_what_was_named_and_edits_keep_the_rest() -> None:
    found = run_js(
        """() => {
          const labels = [0, 0, 0, 1, 1, -1];
          const records = rename([], 0, " coin ", [0, 1, 2]);
          const at = (l) => namesFor(records, membersOf(l));
          return [at(labels), at([0, 0, -1, -1, -1, -1]), at([1, 1, 1, 0, 0, 0]),
            mergeClasses(labels, [2, 4]), mergeClasses(labels, [5, 4]), splitClass(labels, [0, 5]),
            toNoise(labels, [0]), rename(records, 0, "  ", []),
            [...toggled(new Set([1]), [1, 2], true)]];
        }"""
    )
    assert found == [
        {"0": "coin"}, {"0": "coin"}, {},
        [0, 0, 0, 0, 0, -1], [0, 0, 0, 1, 1, 1], [2, 0, 0, 1, 1, 2],
        [-1, 0, 0, 1, 1, -1], [], [1, 2],
    ]  # fmt: skip


@needs_node
def test_js_lasso_and_templates() -> None:
    found = run_js(
        """() => [insidePolygon([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], 2, 3),
          insidePolygon([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], 1, 1),
          fillTemplate("a={eps}, b={method}, c={other}", { eps: 0.5, method: "dbscan" }),
          nearestStep([1, 2, 4], 3.1), ticksUpTo(0.27, 3), ordinal(1), ordinal(8), ordinal(11),
          ordinal(22), extentOf([]), extentOf([1, 2])]"""
    )
    assert found == [
        False, True, 'a=0.5, b="dbscan", c={other}', 2, [0, 0.1, 0.2], "1st", "8th", "11th", "22nd",
        [0, 0, 1, 1], [0.5, 1.5, 1.5, 2.5],
    ]  # fmt: skip


def test_scene_of_a_large_picture_is_shrunk_and_unknown_values_are_none() -> None:
    segments = Segments(rles=[masks.encode(np.ones((3000, 4000), bool))])  # type: ignore[list-item]
    packed = scene(segments, np.zeros((3000, 4000), np.uint8))
    assert packed["raster"] == [2048, 1536]
    assert Image.open(BytesIO(packed["picture"])).size == (2048, 1536)
    assert (packed["iou"], packed["areas"]) == ([None], [12_000_000])


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"made from, \(40, 47\) \(H, W\); got .* \(47, 40\)"):
        scene(overlapping(), np.zeros((47, 40), np.uint8))


def test_canvas_without_front_end_opens_no_channel_and_shows_page_and_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    canvas = Canvas(overlapping(), np.zeros((40, 47), np.uint8))
    assert canvas.comm is None
    assert set(canvas._repr_mimebundle_()[0]) == {"text/plain"}
    monkeypatch.setattr(widget, "get_ipython", object)
    bundle = canvas._repr_mimebundle_()[0]
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/html"].startswith("<iframe srcdoc=")


@pytest.mark.parametrize(
    ("message", "forced", "expected"),
    [
        ("8f14e45f-ea5e-4b2b-9c1d-3a1f0a7c2b11", "", True),
        ("d0c1f2aa-71bb0d0d7ac2bd7d5d4d3c9e_4711_12", "", False),
        ("d0c1f2aa-71bb0d0d7ac2bd7d5d4d3c9e_4711_12", "0", True),
        ("8f14e45f-ea5e-4b2b-9c1d-3a1f0a7c2b11", "1", False),
    ],
)
def test_front_end_is_told_by_the_name_of_the_request(
    monkeypatch: pytest.MonkeyPatch, message: str, forced: str, expected: bool
) -> None:
    class Kernel:
        def get_parent(self, channel: str) -> dict[str, Any]:
            return {"header": {"msg_id": message}}

    class Shell:
        kernel = Kernel()

    monkeypatch.setattr(widget, "get_ipython", Shell)
    monkeypatch.setenv("SAMLAB_STATIC", forced)
    assert widget.has_front_end() is expected


def test_script_has_no_import_and_no_address() -> None:
    text = widget.script()
    assert "import(" not in text
    assert "fetch(" not in text
    assert "innerHTML" not in text
    addresses = {"http://www.w3.org/2000/svg", "https://github.com/cocodataset/cocoapi"}
    assert set(re.findall(r"https?://[\w./-]+", text)) <= addresses


@needs_node
def test_js_splits_a_class_as_clustering_it_alone_would() -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    # Two crowds near each other and one far away, which is not to be touched.
    points = np.concatenate([rng.normal((c, 0), 0.12, (25, 2)) for c in (0, 1, 9)])
    wide = DBSCAN(eps=1.2, min_samples=4).fit(points).labels_
    assert sorted(set(wide)) == [0, 1]
    grid = [0.05, 0.1, 0.15, 0.2, 0.3, 1.2]
    rows = [DBSCAN(eps=eps, min_samples=4).fit(points).labels_ for eps in grid]
    found = run_js(
        """({ labels, rows }) => {
          const sweep = { n: labels.length, table: Int16Array.from(rows.flat()) };
          const step = splitStep(labels, [0], sweep, rows.length - 1);
          return [step, splitAlong(labels, [0], sweepLabels(sweep, step)),
            splitStep(labels, [1], { n: labels.length, table: Int16Array.from(labels) }, 0)];
        }""",
        labels=wide.tolist(),
        rows=[row.tolist() for row in rows],
    )
    step, labels, none = found
    assert none == -1
    inside = wide == 0
    alone = [DBSCAN(eps=eps, min_samples=4).fit(points[inside]).labels_ for eps in grid]
    assert step == max(i for i, row in enumerate(alone) if row.max() >= 1)
    assert adjusted_rand_score(np.array(labels)[inside], alone[step]) == 1
    assert (np.array(labels)[~inside] == 1).all()
    parts = np.bincount([v for v in np.array(labels)[inside] if v >= 0])
    assert set(np.flatnonzero(parts)) == {0, 2}, "one part keeps the label, another gets a new one"
    assert parts[0] >= parts[2]
