"""SAM's two-way attention for many prompts of one image, without image tokens per prompt.

SAM's decoder copies the 4096 image tokens for every prompt and projects them again in each layer
(Kirillov et al., "Segment Anything", 2023, appendix A). But an image token only ever receives, per
head, a mixture of a handful of vectors, one per prompt token. With 7 prompt tokens and 8 heads
that is a sum of rank 56, so the tokens of one prompt after any number of layers are

    tokens = scale * base + rows^T @ mix + shift

with `base` (L, C) and `shift` (C,) equal for all prompts of the image, and per prompt only
`scale` (L,), the attention weights `rows` (m, L) and `mix` (m, C), m = 56 per layer. Queries, keys
and values follow by linearity: projections of `base` are made once per image, those of `mix` are
small. Layer normalisation keeps the form, because the variance of such a sum is a quadratic form
in `rows`. Everything is exact up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from segment_anything.modeling.transformer import (
    Attention,
    TwoWayAttentionBlock,
    TwoWayTransformer,
)
from torch import Tensor
from torch.nn import functional as F

# Names of sizes below: B prompts, t tokens per prompt, h heads, d numbers per head, C channels,
# L image tokens, m = h * t rows per finished layer.


def linear(layer: torch.nn.Linear, x: Tensor) -> Tensor:
    """The layer in float32, whatever precision its weights are kept in."""
    return F.linear(x, layer.weight.float(), layer.bias.float())


def layer_norm(norm: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    """The norm in float32."""
    return F.layer_norm(x, norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps)


def _heads(x: Tensor, heads: int) -> Tensor:
    """(..., t, C) -> (..., h, t, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def _merge(x: Tensor) -> Tensor:
    """(..., h, t, d) -> (..., t, C)."""
    return x.transpose(-2, -3).flatten(-2)


def token_attention(attn: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Plain attention among tokens, (B, t, C) each."""
    q, k, v = (
        _heads(linear(layer, x), attn.num_heads)
        for layer, x in ((attn.q_proj, q), (attn.k_proj, k), (attn.v_proj, v))
    )
    return linear(attn.out_proj, _merge(F.scaled_dot_product_attention(q, k, v)))


@dataclass(frozen=True)
class _Side:
    """One linear map of the image tokens, split by heads: what does not depend on the prompt.

    fixed (h, d, L): the map of positions, shift and bias, and before the first layer of `base`
    too; base (h, d, L): the map of `base` later on; weight (C, h * d).
    """

    base: Tensor | None
    fixed: Tensor
    weight: Tensor


@dataclass(frozen=True)
class _Values:
    """The value map: base (h, L, d), fixed (1, h, 1, d), weight (C, h * d)."""

    base: Tensor
    fixed: Tensor
    weight: Tensor


@dataclass(frozen=True)
class _Update:
    """How the image tokens of one layer change and are normalised.

    into (h, d + 1, C): from the values that a head gives out, and a one for the constants, to
    centred channels; older: the same for the rows of earlier layers. cross: `into` and `older`
    times the centred base, (h, d + 1, L) each. square (L,): squared norm of the centred base.
    """

    into: Tensor
    older: list[Tensor]
    cross: list[Tensor]
    square: Tensor
    gain: Tensor
    eps: float


@dataclass(frozen=True)
class _Layer:
    block: TwoWayAttentionBlock
    keys: _Side
    values: _Values
    queries: _Side
    update: _Update


@dataclass
class ImageTokens:
    """The image tokens of B prompts: scale (B, 1, L), rows (B, m, L), mix (B, m, C).

    Before the first layer they are those of the image: scale is None and there are no rows.
    """

    scale: Tensor | None
    rows: Tensor
    mix: Tensor
    parts: list[Tensor]  # per finished layer the values (h, B * t, d + 1) behind its rows


class SharedAttention:
    """A TwoWayTransformer opened on one image.

    Args:
        transformer: The official module.
        image: Image tokens (L, C), float32, the embedding of "no mask" already added.
        position: Their positional encoding (L, C), float32.
        dtype: Precision of what is as long as the image; tokens stay in float32.
    """

    def __init__(
        self, transformer: TwoWayTransformer, image: Tensor, position: Tensor, dtype: torch.dtype
    ) -> None:
        self.dtype = dtype
        self.transformer = transformer
        self.base = image
        self.shift = torch.zeros_like(image[0])
        self._position = position
        self._into: list[Tensor] = []
        self._layers = [self._open(block) for block in transformer.layers]
        final = transformer.final_attn_token_to_image
        self._keys, self._values = self._side(final, final.k_proj), self._value_side(final)

    def _side(self, attn: Attention, layer: torch.nn.Linear) -> _Side:
        weight = layer.weight.float().t()
        base = _heads(self.base @ weight, attn.num_heads).transpose(1, 2)
        fixed = (self._position + self.shift) @ weight + layer.bias.float()
        fixed = _heads(fixed, attn.num_heads).transpose(1, 2)
        if not self._into:
            return _Side(None, (base + fixed).to(self.dtype).contiguous(), weight)
        return _Side(base.to(self.dtype).contiguous(), fixed.to(self.dtype).contiguous(), weight)

    def _value_side(self, attn: Attention) -> _Values:
        weight = attn.v_proj.weight.float().t()
        base = _heads(self.base @ weight, attn.num_heads).to(self.dtype).contiguous()
        fixed = self.shift @ weight + attn.v_proj.bias.float()
        return _Values(base, fixed.view(1, attn.num_heads, 1, -1), weight)

    def _open(self, block: TwoWayAttentionBlock) -> _Layer:
        """Precompute one layer, then move `base` and `shift` behind it."""
        attn = block.cross_attn_token_to_image
        keys, values = self._side(attn, attn.k_proj), self._value_side(attn)
        attn = block.cross_attn_image_to_token
        queries = self._side(attn, attn.q_proj)

        # Every row of attention weights sums to one per head: constants ride on the values.
        constant = _centred(self.shift + attn.out_proj.bias.float()) / attn.num_heads
        out = attn.out_proj.weight.float()
        into = _centred(out.view(len(out), attn.num_heads, -1).permute(1, 2, 0))
        into = torch.cat([into, constant.expand(attn.num_heads, 1, -1)], dim=1)
        base = _centred(self.base)
        older = [_centred(x) for x in self._into]
        gain = block.norm4.weight.float()
        update = _Update(
            into=into,
            older=older,
            cross=[(x @ base.t()).to(self.dtype) for x in [*older, into]],
            square=base.square().sum(-1),
            gain=gain,
            eps=block.norm4.eps,
        )
        self.base = base * gain
        self.shift = block.norm4.bias.float()
        self._into = [x * gain for x in [*older, into]]
        return _Layer(block, keys, values, queries, update)

    def __call__(self, tokens: Tensor, wanted: Tensor) -> tuple[Tensor, ImageTokens]:
        """Run all layers.

        Args:
            tokens: Prompt tokens (B, t, C), float32.
            wanted: Which of the t tokens the caller reads, int64 (w,); the last look at the image
                is spared for the others.

        Returns:
            The wanted tokens after all layers (B, w, C), and the image tokens.
        """
        batch, count, channels = tokens.shape
        length = len(self._position)
        heads = self.transformer.num_heads
        space = tokens.new_empty(
            (batch, len(self._layers) * heads * count, length), dtype=self.dtype
        )
        image = ImageTokens(None, space[:, :0], tokens.new_empty((batch, 0, channels)), [])
        queries = tokens
        for layer in self._layers:
            queries = self._tokens_step(layer, queries, tokens, image)
            image = self._image_step(layer, queries, tokens, image, space)
        attn = self.transformer.final_attn_token_to_image
        queries, tokens = queries[:, wanted], tokens[:, wanted]
        read = self._read(attn, self._keys, self._values, queries + tokens, image)
        return layer_norm(self.transformer.norm_final_attn, queries + read), image

    def _tokens_step(
        self, layer: _Layer, queries: Tensor, tokens: Tensor, image: ImageTokens
    ) -> Tensor:
        block = layer.block
        if block.skip_first_layer_pe:
            queries = token_attention(block.self_attn, queries, queries, queries)
        else:
            q = queries + tokens
            queries = queries + token_attention(block.self_attn, q, q, queries)
        queries = layer_norm(block.norm1, queries)
        attn = block.cross_attn_token_to_image
        queries = queries + self._read(attn, layer.keys, layer.values, queries + tokens, image)
        queries = layer_norm(block.norm2, queries)
        hidden = block.mlp.act(linear(block.mlp.lin1, queries))
        return layer_norm(block.norm3, queries + linear(block.mlp.lin2, hidden))

    def _logits(self, side: _Side, x: Tensor, image: ImageTokens) -> Tensor:
        """Products of x (B, h, t, d) with a map of the image tokens, (B, h, t, L) in `dtype`."""
        batch, heads, count, _ = x.shape
        across = x.transpose(0, 1).flatten(1, 2).to(self.dtype)
        fixed = _by_prompt(torch.bmm(across, side.fixed), batch)
        if side.base is None or image.scale is None:
            return fixed
        base = _by_prompt(torch.bmm(across, side.base), batch)
        logits = torch.empty_like(fixed, memory_format=torch.contiguous_format)
        torch.addcmul(fixed, base, image.scale[:, None], out=logits)
        mixed = _heads(image.mix @ side.weight, heads)  # (B, h, m, d)
        weights = (x @ mixed.transpose(-1, -2)).flatten(1, 2).to(self.dtype)
        logits.view(batch, heads * count, -1).baddbmm_(weights, image.rows)
        return logits

    def _read(
        self, attn: Attention, keys: _Side, values: _Values, x: Tensor, image: ImageTokens
    ) -> Tensor:
        """Tokens x (B, t, C) look at the image; (B, t, C)."""
        q = _heads(linear(attn.q_proj, x), attn.num_heads)
        q = q / math.sqrt(q.shape[-1])
        weights = self._logits(keys, q, image).softmax(dim=-1)
        batch, heads, count, length = weights.shape
        across = torch.empty((heads, batch, count, length), dtype=self.dtype, device=weights.device)
        if image.scale is None:
            across.copy_(weights.transpose(0, 1))
        else:
            torch.mul(weights, image.scale[:, None], out=across.transpose(0, 1))
        seen = _by_prompt(torch.bmm(across.flatten(1, 2), values.base), batch).float()
        if image.scale is not None:
            on_rows = torch.bmm(weights.flatten(1, 2), image.rows.transpose(1, 2)).float()
            mixed = _heads(image.mix @ values.weight, heads)
            seen = seen + on_rows.view(batch, heads, count, -1) @ mixed
        return linear(attn.out_proj, _merge(seen + values.fixed))

    def _image_step(
        self, layer: _Layer, queries: Tensor, tokens: Tensor, image: ImageTokens, space: Tensor
    ) -> ImageTokens:
        """The image looks at the tokens, and is normalised."""
        attn = layer.block.cross_attn_image_to_token
        k = _heads(linear(attn.k_proj, queries + tokens), attn.num_heads)
        v = _heads(linear(attn.v_proj, queries), attn.num_heads)
        k = k / math.sqrt(k.shape[-1])
        batch, heads, count, _ = k.shape
        old = image.rows.shape[1]
        rows = space[:, : old + heads * count]
        logits = self._logits(layer.queries, k, image)
        rows[:, old:].view(batch, heads, count, -1).copy_(logits.softmax(dim=2))

        update = layer.update
        new = F.pad(v, (0, 1), value=1.0).transpose(0, 1).flatten(1, 2)
        parts = [*image.parts, new]
        maps = [*update.older, update.into]
        mixes = [torch.bmm(p, m) for p, m in zip(parts, maps, strict=True)]
        mix = torch.cat([_by_prompt(x, batch).flatten(1, 2) for x in mixes], dim=1)
        scale = self._deviation(update, parts, mix, rows, image.scale)
        rows *= scale
        if image.scale is not None:
            scale = scale * image.scale
        return ImageTokens(scale, rows, mix * update.gain, parts)

    def _deviation(
        self,
        update: _Update,
        parts: list[Tensor],
        mix: Tensor,
        rows: Tensor,
        scale: Tensor | None,
    ) -> Tensor:
        """1 / standard deviation of the updated, centred image tokens, (B, 1, L)."""
        batch, channels = mix.shape[0], mix.shape[2]
        gram = mix @ mix.transpose(1, 2)
        product = torch.empty_like(rows)
        start = 0
        for part, basis in zip(parts, update.cross, strict=True):
            size = part.shape[1] // batch * len(part)
            end = start + size
            # The Gram matrix is symmetric: what is left of the diagonal block counts twice.
            gram[:, start:end, :start] *= 2
            block = gram[:, start:end, :end].to(self.dtype)
            target = torch.bmm(block, rows[:, :end], out=product[:, start:end])
            target = target.view(batch, len(part), -1, rows.shape[2])
            cross = _by_prompt(torch.bmm(part.to(self.dtype), basis), batch)
            if scale is None:
                target.add_(cross, alpha=2)
            else:
                target.addcmul_(cross, scale[:, None], value=2)
            start = end
        total = (product * rows).sum(1, keepdim=True, dtype=torch.float32)
        own = update.square if scale is None else update.square * scale.float().square()
        return ((total + own) / channels + update.eps).rsqrt().to(self.dtype)


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def _by_prompt(x: Tensor, batch: int) -> Tensor:
    """(h, B * t, n) -> a view (B, h, t, n)."""
    return x.unflatten(1, (batch, -1)).transpose(0, 1)
