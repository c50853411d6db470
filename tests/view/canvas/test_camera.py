"""The canvas's camera and what its keys find, run by node without a page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from samlab import masks
from samlab.segments import Segments
from tests.view.javascript import needs_node, run_js
from tests.view.widget.test_scene import RAW, raw

CASE = st.tuples(
    st.floats(1, 5000), st.floats(1, 5000), st.floats(1, 2000), st.floats(1, 2000),
    st.floats(0.01, 100), st.floats(0, 1), st.floats(0, 1),
)  # fmt: skip


@needs_node
@settings(deadline=None, max_examples=5)
@given(st.lists(CASE, min_size=1, max_size=40))
@example([(8, 8, 560, 560, 1.4, 0.5, 0.5)])  # a pixel is 70 wide already
@example([(100, 80, 500, 400, 1.4, 0.5, 0.5)])
def test_zooming_keeps_what_is_under_the_pointer_and_fills_the_stage(cases: list[Any]) -> None:
    found = run_js(
        """({ cases }) => cases.map(([width, height, w, h, factor, sx, sy]) => {
          const camera = { scale: 1, x: 0, y: 0, fitted: true };
          const picture = { width, height };
          fitCamera(camera, picture, [w, h]);
          const fitted = { ...camera };
          zoomCamera(camera, picture, [w, h], factor, sx * w, sy * h);
          const there = toPicture(camera, sx * w, sy * h);
          return { fitted, camera, before: toPicture(fitted, sx * w, sy * h), there,
            back: toStage(camera, ...there) };
        })""",
        cases=cases,
    )
    for (width, height, w, h, factor, sx, sy), case in zip(cases, found, strict=True):
        fitted, camera = case["fitted"], case["camera"]
        assert fitted["scale"] == pytest.approx(min(w / width, h / height))
        assert case["back"] == pytest.approx([sx * w, sy * h], abs=1e-6)
        if factor <= 1 or fitted["scale"] >= 40:
            assert camera == fitted, "as small, or as large, as it gets"
            continue
        assert camera["scale"] == pytest.approx(min(40, factor * fitted["scale"]))
        for axis, (size, stage) in enumerate(((width, w), (height, h))):
            shown, corner = size * camera["scale"], camera["xy"[axis]]
            if shown <= stage:
                assert corner == pytest.approx((stage - shown) / 2)
            else:
                assert corner <= 1e-6
                assert corner + shown >= stage - 1e-6 * shown
                if stage - shown < corner < 0:
                    assert case["there"][axis] == pytest.approx(case["before"][axis], abs=1e-6)


@needs_node
def test_arrows_find_the_neighbour_and_o_the_segment_around() -> None:
    stack = np.zeros((5, 30, 30), bool)
    stack[0, 12:18, 12:18] = True  # the middle
    stack[1, 12:18, 24:28] = True  # to the right
    stack[2, 2:6, 13:17] = True  # above
    stack[3, 10:20, 10:20] = True  # around the middle
    stack[4] = True  # around all
    segments = Segments(rles=masks.encode(stack))  # type: ignore[arg-type]
    found = run_js(
        f"""(input) => {{
          const s = ({RAW})(input);
          const all = [1, 1, 1, 1, 1];
          const some = [1, 1, 1, 0, 0];
          return [neighbour(s, some, 0, 1, 0), neighbour(s, some, 0, 0, -1),
            neighbour(s, some, 0, -1, 0), neighbour(s, some, -1, 0, 1),
            enclosing(s, all, 0), enclosing(s, all, 3), enclosing(s, all, 4), enclosing(s, some, 0),
            segmentsIn(s, all, [9, 9, 29, 21])];
        }}""",
        **raw(segments),
    )
    assert found == [1, 2, -1, 2, 3, 4, -1, -1, [3, 0, 1]]
