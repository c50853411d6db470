"""Fault matrix, values: what means nothing is refused by name, never turned into something else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samlab
from samlab.errors import InputError, SamlabError

VECTORS = np.random.default_rng(0).random((12, 8)).astype(np.float32)
TRUTH = np.repeat([0, 1, 2], 4)


@pytest.mark.parametrize(
    "mask",
    [
        np.array([[0, 1], [2, 3]]),
        np.array([[0.2, 0.9], [0.0, 1.0]]),
        np.array([[0, 255]], np.uint8),
        np.array([[np.nan, 1.0]]),
        np.array([["a", "b"]]),
    ],
)
def test_a_label_map_or_probabilities_are_no_mask(mask) -> None:
    with pytest.raises(
        InputError,
        match="Expected (a mask of True and False, or 0 and 1|mask of encode to be an array of num)",
    ):
        samlab.masks.encode(mask)


def test_zeros_and_ones_of_any_type_are_a_mask() -> None:
    for dtype in (bool, np.uint8, np.int64, np.float32):
        assert samlab.masks.area([samlab.masks.encode(np.eye(3, dtype=dtype))])[0] == 3


def test_class_255_of_an_8_bit_label_map_stays_255() -> None:
    segments = samlab.Segments([samlab.masks.encode(np.ones((4, 4), bool))])
    labelled = samlab.metrics.label_from_map(segments, np.full((4, 4), 255, np.uint8))
    assert labelled.labels.tolist() == [255]


@pytest.mark.parametrize("truth", [np.full(12, 0.5), np.full(12, np.nan)])
def test_true_classes_are_whole_numbers(truth) -> None:
    for measure in (samlab.metrics.knn_accuracy, samlab.metrics.linear_probe_accuracy):
        with pytest.raises(InputError, match="class ids as whole numbers"):
            measure(VECTORS, truth)
    with pytest.raises(InputError, match="class ids as whole numbers"):
        samlab.metrics.clustering_scores(truth, TRUTH)


def test_no_neighbours_have_no_accuracy() -> None:
    with pytest.raises(InputError, match="k of 1 or more neighbours, got 0"):
        samlab.metrics.knn_accuracy(VECTORS, TRUTH, k=0)


@pytest.mark.parametrize("k", [float("nan"), 2.5, "ten", True])
def test_similar_wants_a_whole_k(k) -> None:
    with pytest.raises(InputError, match="Expected k of similar to be a whole number, got"):
        samlab.similar(VECTORS, VECTORS, k=k)


def test_nan_is_no_threshold() -> None:
    sam = samlab.load_sam("tiny", device="cpu")
    for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh"):
        with pytest.raises(InputError, match=f"Expected {name} of MaskGenerator to be a number"):
            samlab.MaskGenerator(sam, **{name: float("nan")})
    bank = samlab.MemoryBank(np.eye(2), np.arange(2), ("a", "b"))
    with pytest.raises(InputError, match="Expected unknown_below of MemoryBank.classify"):
        bank.classify(np.eye(2), unknown_below=float("nan"))


def test_embeddings_of_two_widths_are_not_joined() -> None:
    def table(width: int) -> samlab.Segments:
        rles = [samlab.masks.encode(np.ones((2, 2), bool))]
        return samlab.Segments(rles, embeddings={"sam": np.ones((1, width))}, image_id=str(width))

    with pytest.raises(InputError, match="'sam' with one width in all parts, got 4 and 8 numbers"):
        samlab.Segments.concat([table(4), table(8)])


def test_ragged_rows_and_texts_are_no_vectors() -> None:
    for rows in ([[1.0], [1.0, 2.0]], np.array([["a"]])):
        with pytest.raises(InputError):
            samlab.cluster(rows)


def test_gradients_are_left_behind() -> None:
    rows = torch.tensor(VECTORS, requires_grad=True)
    assert samlab.similarity(rows).shape == (12, 12)


def test_a_misspelt_option_is_told_what_was_meant() -> None:
    with pytest.raises(InputError, match=r"got point_per_side\. Did you mean 'points_per_side'"):
        samlab.segment(np.zeros((4, 4, 3), np.uint8), point_per_side=2)
    with pytest.raises(InputError, match=r"cluster has no argument 'ep'\. Did you mean 'eps'"):
        samlab.cluster(VECTORS, ep=0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: samlab.segment("a.png", sam=None), "sam of segment to be .* got None"),
        (lambda: samlab.MaskGenerator("tiny"), "sam of MaskGenerator to be a Sam, got 'tiny'"),
        (lambda: samlab.load_sam(5), "name of load_sam to be a text or a path, got 5"),
        (lambda: samlab.cluster(VECTORS, min_samples=None), "min_samples of cluster .* got None"),
        (lambda: samlab.run("a", "b", batch=1.5), r"batch of run .* got 1\.5"),
        (lambda: samlab.load_sam("tiny", dtype="flaot32"), "Expected dtype None, .* 'flaot32'"),
        (lambda: samlab.load_sam("x" * 5000), "as a path that a file can have"),
        (lambda: samlab.open_run("a\0b"), "as a path that a file can have"),
        (lambda: samlab.read_labels("no such", "no such"), "No COCO or BDD100K file"),
        (lambda: samlab.export(VECTORS, "a.json"), "segments as samlab's Segments"),
    ],
)
def test_what_was_a_raw_error_is_a_sentence(call, message) -> None:
    with pytest.raises(SamlabError, match=message):
        call()
