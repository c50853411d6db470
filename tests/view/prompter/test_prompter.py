"""The prompter: prompts are checked, masks are the model's, what is kept becomes segments."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from samlab import masks
from samlab.errors import InputError
from samlab.view.prompter.prompter import Prompter, Proposal, checked_prompt, prompt

INSIDE = (103, 52)


def coin(at: tuple[int, int] = INSIDE) -> np.ndarray:
    """The coin at a place of scikit-image's coins, found by brightness and filled."""
    image = skimage.data.coins()
    labels, _ = ndimage.label(ndimage.binary_fill_holes(image > 118))
    return np.asarray(labels == labels[at[1], at[0]])


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def prompter() -> Prompter:
    return prompt(skimage.data.coins(), "tiny", image_id="coins.png")


def test_a_click_on_a_coin_gives_the_coin(prompter: Prompter) -> None:
    assert 800 < coin().sum() < 1600
    found = prompter.ask([(*INSIDE, 1)])
    assert len(found) == 3
    assert [p.area for p in found] == sorted((p.area for p in found), reverse=True)
    best = max(iou(masks.decode(p.rle), coin()) for p in found)
    assert best >= 0.8


def test_a_background_point_removes_a_part(prompter: Prompter) -> None:
    before = prompter.ask([(200, 210, 1)])[0]
    other = (103, 52)
    assert masks.decode(before.rle)[210, 200]
    after = prompter.ask([(200, 210, 1), (*other, 0)])
    assert not any(masks.decode(p.rle)[other[1], other[0]] for p in after)


def test_masks_equal_sam_predictors(prompter: Prompter) -> None:
    from segment_anything import SamPredictor

    predictor = SamPredictor(prompter._sam())
    predictor.set_image(np.stack([skimage.data.coins()] * 3, axis=-1))
    logits, scores, _ = predictor.predict(np.array([INSIDE]), np.array([1]), return_logits=True)
    order = np.argsort(-(logits > 0).sum(axis=(1, 2)), kind="stable")
    for i, found in zip(order, prompter.ask([(*INSIDE, 1)]), strict=True):
        differ = masks.decode(found.rle) != (logits[i] > 0)
        # Where the logit is 0, torch's interpolation of three masks at a time makes 3e-8 of it.
        assert differ.sum() <= 64
        assert np.abs(logits[i][differ]).max(initial=0) < 1e-6
        assert found.predicted_iou == pytest.approx(float(scores[i]), abs=1e-5)


def test_the_page_prompts_keeps_names_and_drops(prompter: Prompter) -> None:
    sent: list[Any] = []
    prompter.send = lambda content, buffers=None: sent.append(content)  # type: ignore[assignment]
    prompter._receive(prompter, {"kind": "prompt", "points": [[*INSIDE, 1]], "turn": 7}, [])
    assert prompter.answer["turn"] == 7
    assert len(prompter.answer["masks"]) == 3
    for name in ("coin", ""):
        prompter._receive(prompter, {"kind": "keep", "choice": 2, "name": name}, [])
    segments = prompter.segments
    assert segments.labels.tolist() == [0, -1]
    assert segments.class_names == {0: "coin"}
    assert segments.embedding("sam").shape == (2, 256)
    assert segments.points[0].tolist() == list(INSIDE)
    prompter._receive(prompter, {"kind": "name", "ids": [1], "name": "penny"}, [])
    prompter._receive(prompter, {"kind": "drop", "ids": [0]}, [])
    assert prompter.segments.class_names == {0: "penny"}
    assert sent == [{"kind": "done"}] * 5
    prompter._receive(prompter, {"kind": "prompt", "points": [[1, 1, 0]]}, [])
    assert sent[-1]["text"] == "Expected at least one foreground point or a box."
    prompter._receive(prompter, {"kind": "keep", "choice": 9}, [])
    assert sent[-1]["text"] == "Expected a choice below 3, got 9."
    prompter.kept = []


def test_an_empty_mask_is_not_kept(prompter: Prompter) -> None:
    empty = masks.encode(np.zeros((303, 384), bool))
    with pytest.raises(InputError, match="at least one pixel, got an empty one"):
        prompter.keep(Proposal(empty, 0, 0.9, float("nan")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("points", "box", "message"),
    [
        ([], None, "at least one foreground point or a box"),
        ([(1, 2, 0)], None, "at least one foreground point or a box"),
        ([(1, 2)], None, "Expected points as"),
        ([(1, float("nan"), 1)], None, "Expected points as"),
        ([(1, 2, 3)], None, "as the third value"),
        ([], (1, 2, 3), "Expected a box as x0, y0, x1, y1"),
        ([], (5, 5, 5, 9), "x1 > x0 and y1 > y0"),
        ([], (-9, 0, -3, 9), "x1 > x0 and y1 > y0"),
    ],
)
def test_bad_prompts_are_refused(points: Any, box: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked_prompt(points, box, (20, 30))


def test_prompts_over_the_border_are_moved_onto_it() -> None:
    coords, kinds, box = checked_prompt([(-4, 25, 1)], (-5, -5, 99, 9), (20, 30))
    assert coords[0, 0] == 0
    assert 19.9 < coords[0, 1] < 20
    assert kinds.tolist() == [1]
    assert box is not None
    assert box.tolist() == [0, 0, 30, 9]


def test_ready_is_said_after_a_first_prompt_which_compiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = sys.modules[Prompter.__module__]
    seen: list[str] = []
    real = module.propose  # type: ignore[attr-defined]
    made = prompt(skimage.data.coins()[:96, :96], "tiny")

    def spy(*args: Any, **options: Any) -> list[Proposal]:
        seen.append(made.status)
        return list(real(*args, **options))

    monkeypatch.setattr(module, "propose", spy)
    made._encode()
    assert seen == ["encoding"]
    assert made.status == "ready"
