"""The memory bank: building, asking, changing, saving, and what it refuses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from sklearn.neighbors import KNeighborsClassifier

from samlab import masks
from samlab.bank.heads import Head
from samlab.bank.memory_bank import MemoryBank
from samlab.bank.prototypes import prototypes
from samlab.errors import FormatError, InputError
from samlab.latent.classification import wholes_of
from samlab.latent.evaluation import map_iou, threshold_for
from samlab.latent.vectors import unit
from samlab.segments import Segments
from tests.bank.bank_data import table


@pytest.fixture(scope="module")
def bank() -> MemoryBank:
    return MemoryBank.from_segments(table(), per_class=5)


# -- prototypes -----------------------------------------------------------------------------------


def test_few_vectors_are_all_kept():
    vectors = np.random.default_rng(0).normal(size=(3, 8))
    rows, sizes = prototypes(np.concatenate([vectors, vectors[:1]]), 5)
    assert sizes.tolist().count(2) == 1
    assert sizes.sum() == 4
    np.testing.assert_allclose(
        np.sort(rows @ unit(vectors).T, axis=1)[:, -1], 1, rtol=1e-6
    )  # each is one of them


def test_prototypes_are_the_directions_of_the_groups():
    rng = np.random.default_rng(0)
    centres = np.eye(6)[:3]
    vectors = np.repeat(centres, 50, axis=0) + 0.01 * rng.normal(size=(150, 6))
    rows, sizes = prototypes(vectors, 3)
    assert sizes.tolist() == [50, 50, 50]
    np.testing.assert_allclose(np.sort(rows @ centres.T, axis=1)[:, -1], 1, atol=1e-3)


def test_sizes_weigh():
    rows, sizes = prototypes(np.array([[1.0, 0.1], [1.0, -0.1]]), 1, sizes=np.array([3, 1]))
    assert sizes.tolist() == [4]
    directions = unit(np.array([[1.0, 0.1], [1.0, -0.1]]))
    np.testing.assert_allclose(rows, unit(3 * directions[:1] + directions[1:]), atol=1e-6)


def test_opposite_vectors_leave_a_direction():
    rows, sizes = prototypes(np.array([[1.0, 0.0], [-1.0, 0.0]]), 1)
    assert np.isfinite(rows).all()
    assert sizes.tolist() == [2]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 1000))
def test_prototypes_are_unit_and_account_for_everyone(n, count, seed):
    vectors = np.random.default_rng(seed).normal(size=(n, 4))
    rows, sizes = prototypes(vectors, count)
    assert len(rows) == min(n, count)
    assert sizes.sum() == n
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


# -- building -------------------------------------------------------------------------------------


def test_a_bank_has_so_many_prototypes_per_class(bank):
    frame = bank.to_pandas()
    assert frame["name"].tolist() == ["bus", "car", "sky", "tree"]
    assert frame["examples"].tolist() == [50] * 4
    assert frame["prototypes"].tolist() == [5] * 4
    assert repr(bank) == ("MemoryBank(20 prototypes of 4 classes, 'sam' vectors of 200 examples)")


def test_the_order_of_the_examples_does_not_matter(bank):
    order = np.random.default_rng(1).permutation(200)
    assert MemoryBank.from_segments(table()[order], per_class=5).equals(bank)
    assert not MemoryBank.from_segments(table(seed=1), per_class=5).equals(bank)


def test_noise_is_left_out_and_lone_and_empty_classes_are_noted():
    segments = table(9, classes=4)
    labels = np.array([0, 0, 0, 0, 1, -1, -1, -1, -1])
    bank = MemoryBank.from_segments(segments.with_labels(labels))
    assert bank.class_names == ("car", "tree")
    assert bank.examples.tolist() == [4, 1]
    assert bank.notes == (
        "The class 'bus' has no example and is not in the bank.",
        "The class 'sky' has no example and is not in the bank.",
        "The class 'tree' rests on a single example: add more, or drop it.",
    )


def test_bad_examples_are_refused_in_one_sentence():
    segments = table(8)
    with pytest.raises(InputError, match="all 8 have the label -1"):
        MemoryBank.from_segments(segments.with_labels(np.full(8, -1)))
    with pytest.raises(InputError, match="all 0 have the label -1"):
        MemoryBank.from_segments(segments[:0])
    with pytest.raises(InputError, match="'car' stands for several labels"):
        MemoryBank.from_segments(segments.with_labels(segments.labels, {0: "car", 1: "car"}))
    broken = np.ones((8, 4), np.float32)
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match=r"1 segment\(s\) \(segment ids 3\) contain NaN"):
        MemoryBank.from_segments(segments.with_embedding("sam", broken))
    with pytest.raises(
        InputError, match="Expected per_class of .* a whole number from 1 up, got 0"
    ):
        MemoryBank.from_segments(segments, per_class=0)
    with pytest.raises(InputError, match="the embedding 'clip'; they have 'sam'"):
        MemoryBank.from_segments(segments, embedding="clip")


def test_class_weights():
    counts = np.array([0] * 30 + [1] * 2 + [2] * 5)
    segments = table(37).with_labels(counts)
    bank = MemoryBank.from_segments(segments, per_class=10, class_weights="balanced")
    weights = dict(zip(bank.class_names, bank.weights.tolist(), strict=True))
    assert weights == {"bus": 2.0, "car": 1.0, "tree": 5.0}
    bank = MemoryBank.from_segments(segments, class_weights={"tree": 3})
    assert bank.weights.tolist() == [1, 1, 3]
    with pytest.raises(InputError, match=r"classes of the bank \(bus, car, tree\); got van"):
        MemoryBank.from_segments(segments, class_weights={"van": 3})
    with pytest.raises(InputError, match="class weights above 0"):
        MemoryBank.from_segments(segments, class_weights={"tree": 0})
    with pytest.raises(InputError, match="'balanced' or a dict"):
        MemoryBank.from_segments(segments, class_weights="even")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("a", "a", "b", "c")}, "'a' stands for several labels"),
        ({"labels": np.full(20, 4)}, "one class index from 0 to 3"),
        ({"labels": np.zeros(3, int)}, r"for each of 20 prototypes; got the shape \(3,\)"),
        ({"sizes": np.ones(3)}, r"sizes of shape \(20,\)"),
        ({"background": ("road",)}, "got road"),
        ({"prototypes": np.zeros((0, 4))}, "at least one prototype, got none"),
        ({"prototypes": np.zeros((20, 4))}, "vectors with a direction"),
    ],
)
def test_a_bank_is_checked(bank, change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(bank, **change)


def test_a_bank_cannot_be_changed_in_place(bank):
    with pytest.raises(ValueError, match="read-only"):
        bank.prototypes[0] = 0


# -- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["nearest", "softmax", "knn"])
def test_known_classes_are_found(bank, method):
    test = table(seed=5)
    answer = bank.classify(test, method=method)
    truth = [test.class_name(int(v)) for v in test.labels]
    assert np.mean([a == t for a, t in zip(answer.names(), truth, strict=True)]) > 0.97
    assert answer.scores.shape == (200, 4)
    assert answer.scores.dtype == np.float32
    if method != "nearest":
        np.testing.assert_allclose(answer.scores.sum(1), 1, rtol=1e-5)


def test_nearest_is_the_nearest_neighbour_by_cosine(bank):
    rows = table(seed=6, noise=3).embedding()
    reference = KNeighborsClassifier(1, metric="cosine").fit(bank.prototypes, bank.labels)
    answer = bank.classify(rows)
    np.testing.assert_array_equal(answer.labels, reference.predict(rows))
    np.testing.assert_allclose(
        answer.confidence, 1 - reference.kneighbors(rows)[0][:, 0], atol=1e-5
    )


def test_knn_at_high_temperature_counts_votes(bank):
    rows = table(seed=6, noise=3).embedding()
    reference = KNeighborsClassifier(7, metric="cosine").fit(bank.prototypes, bank.labels)
    answer = bank.classify(rows, method="knn", k=7, temperature=1e6)
    np.testing.assert_allclose(answer.scores, reference.predict_proba(rows), atol=1e-4)


def test_softmax_goes_from_nearest_to_the_mean_of_all(bank):
    rows = table(seed=6, noise=3).embedding()
    cold = bank.classify(rows, method="softmax", temperature=1e-4)
    np.testing.assert_array_equal(cold.labels, bank.classify(rows).labels)
    hot = bank.classify(rows, method="softmax", temperature=1e6)
    np.testing.assert_allclose(hot.scores, 0.25, atol=1e-4)
    assert np.isfinite(bank.classify(rows, method="softmax", temperature=1e-9).scores).all()


def test_weights_move_answers_towards_their_class(bank):
    rows = table(seed=6, noise=3).embedding()
    heavy = dataclasses.replace(bank, weights=np.array([1, 1e4, 1, 1]))
    for method in ("nearest", "softmax", "knn"):
        before = (bank.classify(rows, method=method).labels == 1).sum()
        assert (heavy.classify(rows, method=method, k=10).labels == 1).sum() > before


def test_below_the_threshold_the_answer_is_unknown(bank):
    test = table(seed=5, noise=2)
    answer = bank.classify(test, unknown_below=0.5)
    np.testing.assert_array_equal(answer.labels == -1, answer.confidence < 0.5)
    assert 0 < (answer.labels == -1).sum() < 200
    assert answer.names().count("unknown") == (answer.labels == -1).sum()
    np.testing.assert_array_equal(answer.with_threshold(-1).labels, bank.classify(test).labels)
    keep = dataclasses.replace(bank, unknown_below=0.5)
    np.testing.assert_array_equal(keep.classify(test).labels, answer.labels)


def test_background_is_answered_as_unknown():
    bank = MemoryBank.from_segments(table(), background=["sky"])
    test = table(seed=5)
    answer = bank.classify(test)
    np.testing.assert_array_equal(answer.labels == -1, answer.best == 2)
    sky = test.labels == 3
    assert (answer.labels[sky] == -1).mean() > 0.97
    evaluation = bank.evaluate(test)
    assert evaluation.accuracy > 0.97
    assert evaluation.confusion[-1, -1] == (answer.labels[sky] == -1).sum()


def test_an_answer_becomes_segments_and_a_table(bank):
    test = table(12, seed=5)
    answer = bank.classify(test)
    labelled = answer.to_segments()
    assert [labelled.class_name(int(v)) for v in labelled.labels] == answer.names()
    frame = answer.to_pandas()
    assert (frame["class_name"] != frame["second"]).all()
    with pytest.raises(InputError, match="this one is of plain vectors"):
        bank.classify(test.embedding()).to_segments()


def test_nothing_goes_through(bank):
    for empty in (Segments(), table(4)[:0], np.zeros((0, 32))):
        for method in ("nearest", "softmax", "knn"):
            answer = bank.classify(empty, method=method, whole_votes=isinstance(empty, Segments))
            assert len(answer) == 0
            assert answer.scores.shape == (0, 4)
    evaluation = bank.evaluate(table(4)[:0])
    assert np.isnan(evaluation.accuracy)
    assert len(evaluation.coverage) == 0


def test_strangers_are_refused(bank):
    other = dataclasses.replace(table(4), provenance={"weights_sha256": "cd" * 32})
    message = r"made with weights of SHA-256 abababababab\.\.\., the segments with cdcdcdcdcdcd\."
    with pytest.raises(InputError, match=message):
        bank.classify(other)
    other = dataclasses.replace(table(4), provenance={"pooling": "any"})
    with pytest.raises(InputError, match="made with pooling coverage, the segments with any"):
        bank.classify(other)
    with pytest.raises(InputError, match="pooling coverage, the segments with any"):
        bank.add(other)
    with pytest.raises(InputError, match="Expected vectors of 32 numbers.*got 16"):
        bank.classify(np.ones((2, 16)))
    with pytest.raises(InputError, match="contain NaN"):
        bank.classify(np.full((2, 32), np.nan))
    with pytest.raises(InputError, match="'nearest', 'softmax' or 'knn', got 'svm'"):
        bank.classify(table(4), method="svm")
    with pytest.raises(InputError, match="temperature above 0 and k of 1 or more, got 0 and 5"):
        bank.classify(table(4), temperature=0)


# -- parts and wholes -----------------------------------------------------------------------------


def boxes_table(boxes, vectors, size=(40, 40), image_ids=None):
    dense = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(dense, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return Segments(
        rles=masks.encode(dense), embeddings={"sam": np.array(vectors)}, image_ids=image_ids
    )


def test_a_part_takes_its_wholes_class_when_that_is_more_certain():
    bank = MemoryBank(np.eye(3), np.arange(3), ("car", "tree", "sky"))
    segments = boxes_table(
        [(5, 5, 25, 25), (8, 8, 14, 14), (24, 5, 30, 10), (0, 0, 40, 40), (9, 9, 11, 11)],
        [[1, 0.1, 0], [0.5, 0.6, 0], [0, 1, 0.5], [0.2, 0, 1], [0, 0.7, 0.6]],
    )
    plain = bank.classify(segments)
    assert plain.names() == ["car", "tree", "tree", "sky", "tree"]
    voted = bank.classify(segments, whole_votes=True)
    # The large sky is surer than 2, but more than 20 times as large; so is the car for 4.
    assert voted.names() == ["car", "car", "tree", "sky", "tree"]
    assert voted.confidence[1] == plain.confidence[0]
    far = plain.by_whole(at_most=1e9)
    assert far.names() == ["car", "car", "sky", "sky", "car"]
    np.testing.assert_array_equal(bank.classify(segments.embedding()).by_whole(segments).labels,
                                  voted.labels)  # fmt: skip
    with pytest.raises(InputError, match="got none for 5"):
        bank.classify(segments.embedding()).by_whole()


def test_wholes_are_of_the_same_picture():
    pair = [(0, 0, 20, 20), (5, 5, 10, 10)]
    vectors = np.eye(2)
    assert wholes_of(boxes_table(pair, vectors))[1].tolist() == [0]
    names = np.array(["a", "b"], object)
    assert wholes_of(boxes_table(pair, vectors, image_ids=names))[1].tolist() == []
    assert len(wholes_of(Segments())) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_wholes_equal_dense_counting(seed):
    rng = np.random.default_rng(seed)
    dense = np.zeros((6, 20, 20), bool)
    for mask in dense:
        y, x = rng.integers(0, 15, 2)
        h, w = rng.integers(1, 18, 2)
        mask[y : y + h, x : x + w] = True
    found = wholes_of(Segments(rles=masks.encode(dense)))
    flat = dense.reshape(6, -1).astype(int)
    inner, area = flat @ flat.T, flat.sum(1)
    for i in range(6):
        expected = [
            j for j in range(6)
            if area[i] < area[j] <= 20 * area[i] and inner[i, j] >= 0.9 * area[i] - 1e-6
        ]  # fmt: skip
        assert found[i].tolist() == expected


# -- scores ---------------------------------------------------------------------------------------


def test_scores_equal_scikit_learn(bank):
    from sklearn import metrics

    test = table(seed=5, noise=3)
    evaluation = bank.evaluate(test)
    truth, found = evaluation.truth, evaluation.answer.labels
    assert evaluation.accuracy == pytest.approx(metrics.accuracy_score(truth, found))
    balanced = metrics.balanced_accuracy_score(truth, found)
    assert evaluation.balanced_accuracy == pytest.approx(balanced)
    assert evaluation.macro_f1 == pytest.approx(metrics.f1_score(truth, found, average="macro"))
    np.testing.assert_array_equal(
        evaluation.confusion[:4, :4], metrics.confusion_matrix(truth, found)
    )
    p, r, f, n = metrics.precision_recall_fscore_support(truth, found)
    frame = evaluation.per_class
    for column, values in (("precision", p), ("recall", r), ("f1", f), ("support", n)):
        np.testing.assert_allclose(frame[column], values)
    assert evaluation.confusion_table().loc["car"].sum() == 50
    assert evaluation.summary()["segments"] == 200


def test_coverage_against_error_is_what_a_threshold_does(bank):
    test = table(seed=5, noise=3)
    curve = bank.evaluate(test).coverage
    assert curve["coverage"].iloc[0] == 1
    for row in curve.iloc[[0, 30, 60, len(curve) - 1]].itertuples():
        answer = bank.classify(test, unknown_below=row.unknown_below)
        known = answer.labels >= 0
        truth = bank.evaluate(test).truth
        assert known.mean() == pytest.approx(row.coverage)
        assert (answer.labels != truth)[known].mean() == pytest.approx(row.error)


def test_calibration_keeps_the_error_below_what_was_asked(bank):
    held_out = table(400, seed=5, noise=3)
    before = bank.evaluate(held_out)
    calibrated = bank.calibrate(held_out, max_error=0.05)
    answer = calibrated.classify(held_out)
    known = answer.labels >= 0
    assert 1 - before.accuracy > 0.05
    assert (answer.labels != before.truth)[known].mean() <= 0.05
    assert known.mean() > 0.1
    with pytest.raises(InputError, match="got none"):
        bank.calibrate(held_out[:0])
    with pytest.raises(InputError, match="max_error from 0 to 1"):
        bank.calibrate(held_out, max_error=2)
    with pytest.raises(InputError, match="the lowest reached is"):
        threshold_for(before.coverage.assign(error=0.5), 0.1)


def test_strange_classes_count_as_errors_when_answered(bank):
    test = table(8, classes=2, seed=5).with_labels(np.arange(8) % 2, {0: "car", 1: "zebra"})
    evaluation = bank.evaluate(test)
    assert evaluation.truth.tolist() == [1, -1] * 4
    assert evaluation.accuracy == 0.5
    with pytest.raises(InputError, match="Classes are matched by name"):
        bank.evaluate(test.with_labels(np.zeros(8, int), {0: "zebra"}))


def test_map_iou_by_hand():
    truth = np.array([[0, 0, 1, 1], [0, 0, 1, -1]])
    answer = np.array([[0, 1, 1, 1], [0, -1, 1, 0]])
    frame = map_iou([(answer, truth), (answer, truth)], ["car", "tree", "bus"])
    np.testing.assert_allclose(frame["iou"], [2 / 4, 3 / 4, np.nan])
    assert frame["pixels"].tolist() == [8, 6, 0]
    with pytest.raises(InputError, match="maps of one size"):
        map_iou([(answer, truth[:1])], ["car"])


def test_suggestions():
    segments = table(60, classes=3)
    vectors = segments.embedding().copy()
    rng = np.random.default_rng(0)
    mixed = segments.labels != 2
    vectors[mixed] = vectors[0] + rng.normal(size=(mixed.sum(), 32))  # car and tree are one cloud
    bank = MemoryBank.from_segments(segments.with_embedding("sam", vectors), per_class=10)
    frame = bank.suggest().set_index("name")
    assert frame.loc["bus", "advice"] == "Keep it."
    assert frame.loc["bus", "recall"] == 1
    assert {"car", "tree"} & set(frame["confused_with"])
    assert frame["recall"].min() < 0.8
    held_out = bank.suggest(segments.with_embedding("sam", vectors)).set_index("name")
    assert held_out.loc["bus", "recall"] == 1
    labels = segments.labels.copy()
    labels[:] = 2
    labels[:3] = 0
    lonely = MemoryBank.from_segments(segments.with_labels(labels)).suggest()
    assert "Add examples or drop it: it has only 3." in lonely["advice"].tolist()


def test_a_class_inside_another_is_to_be_merged():
    rng = np.random.default_rng(0)
    labels = np.array([0] * 100 + [1] * 10)
    vectors = rng.normal(size=(110, 16)) * 0.2 + np.eye(16)[0]
    segments = table(110).with_labels(labels, {0: "car", 1: "van"})
    bank = MemoryBank.from_segments(segments.with_embedding("sam", vectors), per_class=100)
    advice = bank.suggest().set_index("name").loc["van", "advice"]
    assert advice == "Merge it with 'car' or drop it: most of what is lost goes there."


# -- changing -------------------------------------------------------------------------------------


def test_dropping(bank):
    small = bank.drop(["car", "sky"])
    assert small.class_names == ("bus", "tree")
    assert len(small) == 10
    assert set(small.classify(table(seed=5)).names()) == {"bus", "tree"}
    assert bank.drop("car").class_names == ("bus", "sky", "tree")
    with pytest.raises(InputError, match="got van"):
        bank.drop("van")
    with pytest.raises(InputError, match="at least one class to be left"):
        bank.drop(bank.class_names)


def test_merging(bank):
    merged = bank.merge({"vehicle": ["car", "bus"]})
    assert merged.class_names == ("sky", "tree", "vehicle")
    assert merged.examples.tolist() == [50, 50, 100]
    test = table(seed=5, noise=2)
    before = [{"car": "vehicle", "bus": "vehicle"}.get(n, n) for n in bank.classify(test).names()]
    assert merged.classify(test).names() == before
    assert bank.merge({"tree": ["car"]}).examples.tolist() == [50, 50, 100]
    with pytest.raises(InputError, match="got van"):
        bank.merge({"vehicle": ["van"]})


def test_adding(bank):
    more = bank.add(table(100, classes=2, seed=7))
    assert more.examples.tolist() == [50, 100, 50, 100]
    assert np.bincount(more.labels).tolist() == [5, 5, 5, 5]
    new = table(10, seed=8).with_labels(np.zeros(10, int), {0: "van"})
    assert bank.add(new).class_names == ("bus", "car", "sky", "tree", "van")
    joined = bank.drop(["bus", "sky"]).add(bank.drop(["car", "tree"]))
    assert joined.equals(bank)
    with pytest.raises(InputError, match="'sam' vectors with 32 numbers, got 'sam' with 16"):
        bank.add(MemoryBank(np.eye(16), np.zeros(16), ("car",)))


# -- files ----------------------------------------------------------------------------------------


def test_saved_and_loaded_it_is_the_same(bank, tmp_path):
    head = Head.standardising(table().embedding())
    full = MemoryBank.from_segments(table(), head=head, background=["sky"], per_class=3)
    full = dataclasses.replace(full, unknown_below=0.25)
    for one in (bank, full):
        back = MemoryBank.load(one.save(tmp_path / "bank.safetensors"))
        assert back.equals(one)
        assert back.provenance == one.provenance
        assert back.unknown_below == one.unknown_below
        assert back.notes == one.notes
        rows = table(seed=5).embedding()
        np.testing.assert_array_equal(one.classify(rows).scores, back.classify(rows).scores)
    assert [p.name for p in tmp_path.iterdir()] == ["bank.safetensors"]


def test_files_that_are_no_bank(bank, tmp_path):
    with pytest.raises(FormatError, match=r"No memory bank at .* does not exist"):
        MemoryBank.load(tmp_path / "none")
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"\x80\x04pickle")
    with pytest.raises(FormatError, match="is not a safetensors file, or is damaged"):
        MemoryBank.load(file)
    save_file({"weight": np.ones(3)}, file)
    with pytest.raises(FormatError, match="holds tensors but no memory bank"):
        MemoryBank.load(file)
    words = {"version": 99}
    save_file({"weight": np.ones(3)}, file, metadata={"samlab.bank": json.dumps(words)})
    with pytest.raises(FormatError, match="format version 1 or lower, got 99"):
        MemoryBank.load(file)
    words = {"version": 1}
    save_file({"labels": np.ones(3)}, file, metadata={"samlab.bank": json.dumps(words)})
    with pytest.raises(FormatError, match="misses the tensors prototypes, sizes, weights"):
        MemoryBank.load(file)
    with pytest.raises(FormatError, match="an existing folder to write the bank to"):
        bank.save(tmp_path / "none" / "bank.safetensors")
    data = bank.save(tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="is damaged"):
        MemoryBank.load(tmp_path / "cut.safetensors")
