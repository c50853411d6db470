"""The map's geometry, run by node."""

from __future__ import annotations

from tests.view.javascript import needs_node, run_js


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


@needs_node
def test_points_lie_inside_the_stage_and_are_found_where_they_lie() -> None:
    points = [0, 0, 10, 5, 4, 2]
    found = run_js(
        """({ points }) => {
          const state = { points, extent: extentOf(points), radius: radiiOf([100, 100, 25]),
            zoom: 1, x: 0, y: 0, faint: [false, false, false] };
          const size = [300, 200];
          const at = [0, 1, 2].map((i) => pointOnStage(state, size, i));
          const hits = at.map(([x, y]) => nearestPoint(state, size, x + 2, y));
          const half = pointsInside(state, size, [[0, 0], [150, 0], [150, 200], [0, 200]]);
          zoomMap(state, 2, ...at[2]);
          const zoomed = pointOnStage(state, size, 2);
          state.faint[2] = true;
          return [at, hits, half, zoomed, nearestPoint(state, size, ...zoomed), state.radius];
        }""",
        points=points,
    )
    at, hits, half, zoomed, hidden, radius = found
    # 26 pixels are left free, above 48 for the buttons; y grows upwards.
    assert at == [[26, 174], [274, 48], [26 + 0.4 * 248, 174 - 0.4 * 126]]
    assert hits == [0, 1, 2]
    assert half == [0, 2]
    assert zoomed == at[2], "what is zoomed at stays there"
    assert hidden == -1
    assert radius == [8, 8, 3 + 5 * 0.25**0.25]
