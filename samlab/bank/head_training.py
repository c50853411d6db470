"""Training what stands before the bank (a head) or in it (its prototypes), on its own examples.

Losses are those of pytorch-metric-learning (https://kevinmusgrave.github.io): ArcFace (Deng et al.
2019), CosFace (Wang et al. 2018), triplets with a margin, ProxyAnchor (Kim et al. 2020), SoftTriple
(Qian et al. 2019), all on the cosine. Vectors are small, so a few thousand examples train in
seconds to a minute on a CPU. Nothing here touches SAM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from samlab.bank.checks import check_same_model
from samlab.bank.heads import Head
from samlab.bank.memory_bank import MemoryBank
from samlab.errors import InputError, require_extra
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count, Natural, Positive, Seed, Share
from samlab.latent.vectors import unit, vectors_of
from samlab.segments import Segments

if TYPE_CHECKING:
    import torch


Loss: TypeAlias = Literal["arcface", "cosface", "triplet", "proxy_anchor", "soft_triple"]
_LOSSES = ("arcface", "cosface", "triplet", "proxy_anchor", "soft_triple")
_NEIGHBOURS = 10
_STEPS = 20  # per epoch, at least: a few hundred examples alone would give two or three


@checked_arguments
def train_head(
    examples: Segments,
    *,
    loss: Loss = "cosface",
    embedding: str | None = None,
    width: Count = 128,
    hidden: Natural = 256,
    dropout: Share = 0.3,
    epochs: int = 60,
    patience: int = 10,
    batch: Count = 256,
    learning_rate: Positive = 1e-3,
    held_out: float = 0.2,
    loss_options: Mapping[str, Any] | None = None,
    seed: Seed = 0,
) -> Head:
    """Train a projection in which vectors of one class gather.

    Wholes and parts of one object carry the same class, so examples that hold both
    (`box_examples(..., parts=True)`) draw them together. Batches take classes in equal numbers.
    After every epoch the held-out examples are classified by their nearest neighbours among the
    others; the head of the best epoch is kept, and training ends after `patience` worse ones.

    Args:
        examples: Labelled segments, at least two classes; label -1 is left out.
        loss: See the module's head.
        embedding: Which of the segments' vectors; the first ones by default.
        width, hidden: Sizes of the output and of the one hidden layer; `hidden=0` for none.
        dropout: Of the standardised input and of the hidden layer while training.
        epochs, patience, batch, learning_rate: Of AdamW.
        held_out: Share of the pictures that is held out; whole pictures, since objects of one
            picture resemble each other. With a single picture, of the examples.
        loss_options: Arguments for the loss, for example `{"margin": 0.2}`.
        seed: Of the split, the start and the batches.

    Returns:
        The head; `about` tells how it was made, and the balanced accuracy on what was held out.

    Raises:
        MissingExtraError: pytorch-metric-learning is not installed.
        InputError: Fewer than two classes, or a class that lies in the held-out part alone.
    """
    rows, labels, names = _examples(examples, embedding)
    train, test = _split(examples, labels, held_out, seed)
    start = Head.standardising(rows[train])
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width_in = rows.shape[1]
        sizes = [width_in, *([hidden] if hidden else []), width]
        layers: list[nn.Module] = []
        for i, (inside, outside) in enumerate(pairwise(sizes)):
            layers += [nn.ReLU()] if i else []
            layers += [nn.Dropout(dropout), nn.Linear(inside, outside)]
        network = nn.Sequential(*layers)
        objective = _loss(loss, len(names), width, loss_options or {}, 4)

        def finished() -> Head:
            linear = [m for m in network if isinstance(m, nn.Linear)]
            return replace(
                start,
                layers=tuple(
                    (m.weight.detach().numpy().copy(), m.bias.detach().numpy().copy())
                    for m in linear
                ),
            )

        def score() -> float:
            head = finished()
            return _score(
                head.project(rows[train]), labels[train], head.project(rows[test]), labels[test]
            )

        inputs = ((unit(rows) - start.mean) / start.spread).astype(np.float32)
        best, epoch, value = _fit(
            network, objective, inputs[train], labels[train], finished, score,
            epochs=epochs, patience=patience, batch=batch, learning_rate=learning_rate, seed=seed,
        )  # fmt: skip
    return replace(
        best,
        about={
            "kind": "mlp", "loss": loss, "loss_options": dict(loss_options or {}),
            "classes": list(names), "examples": len(rows), "held_out": int(test.sum()),
            "held_out_balanced_accuracy": value, "best_epoch": epoch, "seed": seed,
        },
    )  # fmt: skip


@checked_arguments
def train_prototypes(
    bank: MemoryBank,
    examples: Segments,
    *,
    loss: Literal["soft_triple", "proxy_anchor"] = "soft_triple",
    epochs: int = 60,
    patience: int = 10,
    batch: Count = 256,
    learning_rate: Positive = 3e-3,
    held_out: float = 0.2,
    loss_options: Mapping[str, Any] | None = None,
    seed: Seed = 0,
) -> MemoryBank:
    """Train the bank itself: its prototypes move to where they tell the classes apart.

    They start from the bank's own. Under `"soft_triple"` each class keeps as many prototypes as
    its largest class has (shorter ones are filled up by repetition), under `"proxy_anchor"` one.

    Args:
        bank: The bank to start from; its head, where it has one, stays as it is.
        examples: Labelled segments of the bank's classes.
        loss: See above.
        epochs, patience, batch, learning_rate, held_out, loss_options, seed: As for `train_head`.

    Returns:
        A bank with other prototypes; `provenance["prototypes"]` tells how they were made.
    """
    require_extra("pytorch_metric_learning", "train", "Training prototypes")
    check_same_model(bank.provenance, examples.provenance, "segments")
    rows, labels, names = _examples(examples, bank.embedding)
    if tuple(names) != bank.class_names:
        raise InputError(
            f"Expected examples of exactly the bank's classes ({', '.join(bank.class_names)}); "
            f"got {', '.join(names)}. Drop classes from either."
        )
    rows = bank.vectors(rows).astype(np.float32)
    train, test = _split(examples, labels, held_out, seed)
    per_class = 1 if loss == "proxy_anchor" else int(np.bincount(bank.labels).max())
    start = np.stack([_fill(bank, i, per_class) for i in range(len(names))])  # (C, K, D)
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        objective = _loss(loss, len(names), rows.shape[1], loss_options or {}, per_class)
        with torch.no_grad():
            if loss == "proxy_anchor":
                objective.proxies.copy_(torch.from_numpy(start[:, 0]))
            elif loss == "soft_triple":
                flat = start.reshape(-1, start.shape[-1])
                objective.fc.copy_(torch.from_numpy(flat.T.copy()))

        def current() -> np.ndarray:
            moved = objective.proxies if loss == "proxy_anchor" else objective.fc.T
            return unit(moved.detach().numpy().astype(np.float32))

        owner = np.repeat(np.arange(len(names)), per_class)

        def score() -> float:
            found = owner[np.argmax(unit(rows[test]) @ current().T, axis=1)]
            return _balanced(labels[test], found)

        best, epoch, value = _fit(
            torch.nn.Identity(), objective, unit(rows[train]), labels[train], current, score,
            epochs=epochs, patience=patience, batch=batch, learning_rate=learning_rate, seed=seed,
        )  # fmt: skip
    nearest = _nearest_own(unit(rows), labels, best, owner)
    about = {
        "loss": loss, "loss_options": dict(loss_options or {}), "seed": seed,
        "held_out_balanced_accuracy": value, "best_epoch": epoch,
    }  # fmt: skip
    return replace(
        bank,
        prototypes=best,
        labels=owner,
        sizes=np.bincount(nearest, minlength=len(best)),
        provenance={**bank.provenance, "prototypes": about},
    )


# -- inside ---------------------------------------------------------------------------------------


def _examples(
    examples: Segments, embedding: str | None
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Vectors (N, D), class index (N,) with -1 for none, and names in alphabetical order."""
    require_extra("pytorch_metric_learning", "train", "Training a head")
    rows = vectors_of(examples, embedding, what="example")
    given = examples.labels
    table = {int(v): examples.class_name(int(v)) for v in np.unique(given) if v >= 0}
    names = tuple(sorted(set(table.values())))
    if len(names) < 2:
        raise InputError(
            f"Expected examples of at least two classes to train on, got {len(names)}. "
            "Label more, or use the bank without training."
        )
    index = {value: names.index(name) for value, name in table.items()}
    return rows, np.array([index.get(int(v), -1) for v in given]), names


def _split(
    examples: Segments, labels: np.ndarray, held_out: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Boolean (N,) for training and for testing, by picture; both without label -1."""
    if not 0 < held_out < 1:
        raise InputError(f"Expected held_out between 0 and 1, got {held_out}.")
    known = labels >= 0
    pictures = examples.image_ids.astype(str)
    if len(set(pictures[known])) < 2:
        pictures = np.arange(len(labels)).astype(str)
    order = np.random.default_rng(seed).permutation(np.unique(pictures[known]))
    chosen = order[: max(1, round(held_out * len(order)))]
    test = known & np.isin(pictures, chosen)
    train = known & ~test
    missing = sorted(set(labels[known].tolist()) - set(labels[train].tolist()))
    for label in missing:  # a class must be trained on, even if its few pictures were drawn
        train |= test & (labels == label)
        test &= labels != label
    if not test.any():
        raise InputError(
            "Expected examples of several pictures, so that some can be held out; got "
            f"{int(known.sum())} from {len(order)}."
        )
    return train, test


def _loss(name: str, classes: int, width: int, options: Mapping[str, Any], per_class: int) -> Any:
    from pytorch_metric_learning import distances, losses

    if name not in _LOSSES:
        raise InputError(f"Expected loss in {_LOSSES}, got {name!r}.")
    if name == "triplet":
        settings = {"margin": 0.2, "distance": distances.CosineSimilarity(), **options}
        return losses.TripletMarginLoss(**settings)
    if name == "soft_triple":
        return losses.SoftTripleLoss(classes, width, **{"centers_per_class": per_class, **options})
    kinds = {
        "arcface": (losses.ArcFaceLoss, {"scale": 16}),
        "cosface": (losses.CosFaceLoss, {"scale": 16}),
        "proxy_anchor": (losses.ProxyAnchorLoss, {}),
    }
    kind, defaults = kinds[name]
    return kind(classes, width, **{**defaults, **options})


def _fit(
    network: torch.nn.Module,
    objective: Any,
    inputs: np.ndarray,
    labels: np.ndarray,
    current: Callable[[], Any],
    score: Callable[[], float],
    *,
    epochs: int,
    patience: int,
    batch: int,
    learning_rate: Positive,
    seed: int,
) -> tuple[Any, int, float]:
    """Train until the score stops rising; returns the best state, its epoch and its score."""
    import torch

    parameters = [*network.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-2)
    x, y = torch.from_numpy(np.ascontiguousarray(inputs)), torch.from_numpy(labels.astype(np.int64))
    share = 1 / np.bincount(labels)[labels]
    share /= share.sum()
    rng = np.random.default_rng(seed)
    network.eval()
    best, best_epoch, best_score = current(), 0, score()
    for epoch in range(1, epochs + 1):
        network.train()
        for _ in range(max(_STEPS, len(x) // batch)):
            rows = torch.from_numpy(rng.choice(len(x), min(batch, len(x)), p=share))
            optimizer.zero_grad()
            objective(network(x[rows]), y[rows]).backward()
            optimizer.step()
        network.eval()
        value = score()
        if value > best_score:
            best, best_epoch, best_score = current(), epoch, value
        if epoch - best_epoch >= patience:
            break
    return best, best_epoch, best_score


def _score(rows: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    """Balanced accuracy of the vote of the nearest neighbours, classes weighed alike."""
    cosine = test @ rows.T
    k = min(_NEIGHBOURS, len(rows))
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    votes = np.zeros((len(test), labels.max() + 1))
    weight = np.exp(np.take_along_axis(cosine, nearest, axis=1) / 0.1)
    np.add.at(votes, (np.arange(len(test))[:, None], labels[nearest]), weight)
    return _balanced(truth, votes.argmax(1))


def _balanced(truth: np.ndarray, found: np.ndarray) -> float:
    return float(np.mean([np.mean(found[truth == label] == label) for label in np.unique(truth)]))


def _fill(bank: MemoryBank, label: int, count: int) -> np.ndarray:
    """`count` prototypes of a class, the one of most examples first, repeated where too few."""
    rows = np.flatnonzero(bank.labels == label)
    rows = rows[np.argsort(-bank.sizes[rows], kind="stable")]
    return bank.prototypes[np.resize(rows, count)]


def _nearest_own(
    rows: np.ndarray, labels: np.ndarray, prototypes: np.ndarray, owner: np.ndarray
) -> np.ndarray:
    """For each labelled row, the nearest prototype of its own class, int64."""
    known = labels >= 0
    cosine = rows[known] @ prototypes.T
    return np.where(owner[None, :] == labels[known, None], cosine, -2).argmax(1)
