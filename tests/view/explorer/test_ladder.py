"""The class ladder: which clusterings of the sweep are offered; run by node."""

from __future__ import annotations

from typing import Any

from tests.view.javascript import needs_node, run_js


def ladder(values: list[float], rows: list[list[int]], seen: list[int], pixels: int) -> Any:
    return run_js(
        """({ values, rows, seen, pixels }) => ladderOf({ n: seen.length, values,
          table: Int16Array.from(rows.flat()) }, seen, pixels)""",
        values=values,
        rows=rows,
        seen=seen,
        pixels=pixels,
    )


@needs_node
def test_of_each_number_of_classes_the_one_with_most_area_over_eps_is_offered() -> None:
    rows = [
        [-1, -1, -1, -1],
        [0, 0, -1, -1],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [0, 0, 1, -1],
        [0, 0, 0, -1],
        [0, 0, 0, 0],
    ]
    found = ladder([0.01 * 2**i for i in range(8)], rows, [10, 20, 30, 20], 100)
    # Of the clusterings with one class, equally wide, the one with less unassigned; of those
    # with two the wider one.
    assert [(r["classes"], r["first"], r["last"], r["step"]) for r in found] == [
        (1, 6, 6, 6), (2, 2, 4, 3),
    ]  # fmt: skip
    assert [round(r["unassigned"], 6) for r in found] == [0.4, 0.2]


@needs_node
def test_at_most_six_and_nothing_where_there_is_nothing() -> None:
    rows = [[i // (k + 1) for i in range(16)] for k in range(12)]
    found = ladder([0.01 * 1.5**i for i in range(12)], rows, [1] * 16, 20)
    assert len(found) == 6
    assert [r["classes"] for r in found] == sorted({r["classes"] for r in found})
    assert {round(r["unassigned"], 6) for r in found} == {0.2}
    assert ladder([], [], [], 4) == []
    assert ladder([0.1, 0.2], [[-1], [0]], [4], 4) == []
