"""Fit small perceptrons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from samlab.sam.tiny.scores import Perceptron

Array = NDArray[np.float64]


def fit(
    x: Array,
    y: Array,
    hidden: tuple[int, ...],
    seed: int,
    weights: Array | None = None,
    steps: int = 3000,
    decay: float = 1e-3,
) -> Perceptron:
    """A perceptron on soft targets in 0..1 (cross entropy, Adam, one cycle); `weights` say how
    often an example is drawn."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    mean, scale = x.mean(0), 1 / np.maximum(x.std(0), 1e-4)
    inputs = torch.from_numpy((x - mean) * scale).float().clamp(-6, 6)
    targets = torch.from_numpy(y).float()
    odds = torch.ones(len(y)) if weights is None else torch.from_numpy(weights).float()
    sizes = (x.shape[1], *hidden, 1)
    linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    parts: list[nn.Module] = []
    for linear in linears:
        parts += [linear, nn.ReLU()]
    model = nn.Sequential(*parts[:-1])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.multinomial(odds, 1024, replacement=True, generator=generator)
        logits = model(inputs[batch])[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    layers = tuple(
        (linear.weight.detach().numpy().T.copy(), linear.bias.detach().numpy().copy())
        for linear in linears
    )
    return Perceptron(mean.astype(np.float32), scale.astype(np.float32), layers)
