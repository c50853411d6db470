"""What the network is trained for: boundaries, what belongs together, equal kinds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.data import Batch

WEIGHTS = {"boundary": 1.0, "dice": 0.5, "global": 0.4, "local": 0.5, "kind": 0.25}
GLOBAL_CELLS = 256
LOCAL_SIDE = 12
TEMPERATURE = 0.1


class Losses(nn.Module):
    """All losses of a batch; holds the learnt scale and offset that turn cosines into logits."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([5.0, 5.0]))
        self.offset = nn.Parameter(torch.tensor([-2.5, -2.5]))

    def forward(
        self, answers: tuple[Tensor, Tensor, Tensor], batch: Batch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        semantic, boundary, affinity = answers
        bce, dice = boundary_losses(boundary, batch.boundary, batch.valid)
        return {
            "boundary": bce,
            "dice": dice,
            "global": self._pairs(0, *_scattered(affinity, batch.leaf, generator), batch, False),
            "local": self._pairs(1, *_window(affinity, batch.leaf, generator), batch, True),
            "kind": kind_loss(semantic, batch.cover, batch.kind),
        }

    def _pairs(
        self, which: int, vectors: Tensor, leaf: Tensor, batch: Batch, with_twins: bool
    ) -> Tensor:
        """Cross entropy of 'these two cells belong together'; positives and negatives weigh the
        same. Far-apart things of one kind are left out: they look alike, and that is right."""
        count = vectors.shape[1]
        logits = vectors @ vectors.transpose(1, 2) * self.scale[which] + self.offset[which]
        known = leaf >= 0
        index = leaf.clamp_min(0)
        rows = torch.arange(len(leaf))[:, None, None]
        a, b = index[:, :, None], index[:, None, :]
        target = batch.kinship[rows, a, b]
        weight = (known[:, :, None] & known[:, None, :]).float()
        weight = weight * (1 - torch.eye(count, device=weight.device))
        if not with_twins:
            weight = weight * (~batch.twins[rows, a, b]).float()
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        near, far = weight * target, weight * (1 - target)
        return ((loss * near).sum() / (near.sum() + 1) + (loss * far).sum() / (far.sum() + 1)) / 2


def boundary_losses(logit: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy with boundaries weighing more, and a soft Dice loss over the whole batch."""
    loss = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
    weight = valid * (1 + 1.5 * target)
    p = logit.sigmoid() * valid
    t = target * valid
    dice = 1 - (2 * (p * t).sum() + 1) / ((p * p).sum() + (t * t).sum() + 1)
    return (loss * weight).sum() / weight.sum().clamp_min(1), dice


def _scattered(affinity: Tensor, leaf: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    cells = leaf.shape[1] * leaf.shape[2]
    index = torch.randint(0, cells, (len(leaf), GLOBAL_CELLS), generator=generator)
    index = index.to(leaf.device)
    flat = affinity.flatten(2).transpose(1, 2)
    vectors = flat.gather(1, index[:, :, None].expand(-1, -1, flat.shape[2]))
    return vectors, leaf.flatten(1).gather(1, index)


def _window(affinity: Tensor, leaf: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    side = min(LOCAL_SIDE, leaf.shape[1])
    y, x = torch.randint(0, leaf.shape[1] - side + 1, (2,), generator=generator).tolist()
    cut = affinity[:, :, y : y + side, x : x + side].flatten(2).transpose(1, 2)
    return cut, leaf[:, y : y + side, x : x + side].flatten(1)


def pooled(semantic: Tensor, cover: Tensor) -> Tensor:
    """Mean of the cells' vectors weighted by covered area, unit length: (B, P, 128)."""
    vectors = cover.flatten(2) @ semantic.flatten(2).transpose(1, 2)
    return F.normalize(vectors, dim=-1)


def kind_loss(semantic: Tensor, cover: Tensor, kind: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, eq. 2) on the pooled vectors of a batch:
    masks of one kind close, all others far, those of the same picture being the hard ones."""
    present = (kind >= 0).flatten()
    vectors = pooled(semantic, cover).flatten(0, 1)[present]
    kind = kind.flatten()[present]
    count = len(kind)
    if count < 2:
        return semantic.sum() * 0
    itself = torch.eye(count, dtype=torch.bool, device=kind.device)
    logits = (vectors @ vectors.T / TEMPERATURE).masked_fill(itself, -1e4)
    same = ((kind[:, None] == kind[None]) & ~itself).float()
    log_share = logits - logits.logsumexp(1, keepdim=True)
    friends = same.sum(1)
    each = -(log_share * same).sum(1) / friends.clamp_min(1)
    return each.sum() / (friends > 0).sum().clamp_min(1)
