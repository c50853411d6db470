"""Losses: small for right answers, large for wrong ones, blind to what does not count."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from training.losses import boundary_losses, kind_loss, pooled


def test_boundary_losses_see_only_the_picture() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[..., 3] = 1
    valid = torch.ones_like(target)
    valid[..., 6:] = 0
    right = (target * 2 - 1) * 9
    bce, dice = boundary_losses(right, target, valid)
    assert bce < 1e-3
    assert dice < 0.1
    elsewhere = right.clone()
    elsewhere[..., 6:] = 9
    torch.testing.assert_close(boundary_losses(elsewhere, target, valid), (bce, dice))
    wrong, _ = boundary_losses(-right, target, valid)
    assert wrong > 5


def test_pooling_weighs_cells_by_cover() -> None:
    semantic = torch.zeros(1, 2, 1, 2)
    semantic[0, 0, 0, 0] = semantic[0, 1, 0, 1] = 1
    cover = torch.tensor([[[[0.75, 0.25]]]])
    expected = F.normalize(torch.tensor([0.75, 0.25]), dim=0)
    torch.testing.assert_close(pooled(semantic, cover)[0, 0], expected)


def test_kind_loss_wants_equal_kinds_together() -> None:
    together = torch.zeros(2, 4, 1, 2)
    together[:, 0, 0, 0] = together[:, 1, 0, 1] = 1
    cover = torch.zeros(2, 3, 1, 2)
    cover[:, 0, 0, 0] = cover[:, 1, 0, 1] = 1
    right = torch.tensor([[5, 6, -1], [5, 6, -1]])
    wrong = torch.tensor([[5, 6, -1], [6, 5, -1]])
    assert kind_loss(together, cover, right) < 0.01
    assert kind_loss(together, cover, wrong) > 5


def test_kind_loss_of_nothing_is_zero() -> None:
    kind = torch.full((1, 2), -1)
    assert kind_loss(torch.rand(1, 4, 2, 2), torch.zeros(1, 2, 2, 2), kind) == 0
