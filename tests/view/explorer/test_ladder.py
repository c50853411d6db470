"""The class ladder of the page and its branches; run by node."""

from __future__ import annotations

from typing import Any

from tests.view.javascript import needs_node, run_js

ROWS = [
    [-1, -1, -1, -1],
    [0, 0, -1, -1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 1, 1],
    [0, 0, 0, 0],
]


def called(name: str, rows: list[list[int]], more: str, **values: Any) -> Any:
    return run_js(
        f"""({{ rows, input }}) => {name}({more.split("|")[0]}{{ n: rows[0]?.length ?? 0,
          ladder: input.ladder, table: Int16Array.from(rows.flat()) }}, {more.split("|")[1]})""",
        rows=rows,
        input=values,
    )


@needs_node
def test_what_is_said_of_a_rung_is_of_the_picture_and_it_lasts_while_labels_are_equal() -> None:
    found = called(
        "ladderOf", ROWS, "|input.seen, input.pixels",
        ladder=[1, 3], seen=[10, 20, 30, 20], pixels=100,
    )  # fmt: skip
    assert [(r["classes"], r["first"], r["last"], r["step"]) for r in found] == [
        (1, 1, 1, 1), (2, 2, 4, 3),
    ]  # fmt: skip
    assert [round(r["unassigned"], 6) for r in found] == [0.7, 0.2]
    nothing = called("ladderOf", [], "|input.seen, input.pixels", ladder=[], seen=[], pixels=4)
    assert nothing == []


@needs_node
def test_a_branch_has_each_number_of_parts_once_at_its_largest_eps() -> None:
    rows = [[0, 1, 2, 3, 9, 9], [0, 1, 1, 2, 9, 9], [0, 1, 1, 2, 9, 9], [0, 0, 1, 1, 9, 9]]
    rows.append([0, 0, 0, 0, 0, 0])
    values = {"labels": [5, 5, 5, 5, 7, 7], "start": 4}
    more = "input.labels, input.classes, |input.start, input.most"
    assert called("branchSteps", rows, more, classes=[5], most=4, **values) == [3, 2, 0]
    assert called("branchSteps", rows, more, classes=[5], most=2, **values) == [3, 2]
    assert called("branchSteps", rows, more, classes=[7], most=4, **values) == []
