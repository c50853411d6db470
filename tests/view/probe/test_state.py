"""The probe's state in the page, run by node without a page."""

from __future__ import annotations

from tests.view.javascript import needs_node, run_js


@needs_node
def test_a_query_ranks_segments_and_the_slider_selects_them() -> None:
    found = run_js(
        """() => {
          const vectors = Float32Array.from([1, 0, 0.8, 0.6, 0, 1]);
          const state = new ProbeState(vectors, 2, null, null);
          const seen = [state.mode, state.ranked(), state.above()];
          state.ask(0, 3);
          seen.push(state.ranked(), state.above());
          state.setShare(0.75);
          seen.push(Number(state.threshold.toFixed(3)), state.above());
          seen.push(Number(shareOf(state.threshold, state.segmentRange).toFixed(3)));
          state.ask(7, 3);
          seen.push(state.query, state.scores, state.above(), state.ranked());
          return seen;
        }"""
    )
    assert found == [
        "segments", [], [], [1, 2], [], 0.75, [0, 1], 0.75, -1, None, [], [],
    ]  # fmt: skip


@needs_node
def test_patches_give_the_heat_map_its_range() -> None:
    found = run_js(
        """() => {
          const patches = { values: Int8Array.from([127, 0, 0, 127]),
            scales: Float32Array.from([1 / 127, 1 / 127]) };
          const state = new ProbeState(Float32Array.from([1, 0, 0, 1]), 2, patches, 0.5);
          state.ask(1, 2);
          return [state.mode, Array.from(state.heat), state.heatRange, heatRange([]),
            heatRange([0.5, 0.5])];
        }"""
    )
    assert found == ["patches", [0, 1], [0, 1], [0, 1], [0, 0.5]]
