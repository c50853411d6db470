"""A picture to its embedding: SAM's image encoder, run once per picture, faster, same weights.

The official ViT is walked over by functions of this module; its classes and its state dict stay
as they are. Where it differs from `ImageEncoderViT.forward`:

- windowed attention is one `scaled_dot_product_attention` whose mask is the relative-position
  bias; global attention on a CPU goes through the queries in slices that fit the cache, instead
  of writing heads x 4096 x 4096 scores to memory several times;
- matrix products may run in half precision; sums along the residual stream stay in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from segment_anything.modeling import Sam
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.image_encoder import (
    Attention,
    Block,
    ImageEncoderViT,
    get_rel_pos,
    window_partition,
    window_unpartition,
)
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import InterpolationMode
from torchvision.transforms.v2.functional import resize as resize_tensor

from samlab.errors import CheckpointError, SamlabWarning
from samlab.errors.arguments import checked_arguments
from samlab.images import ImageLike, read_image
from samlab.process.progress import stage
from samlab.sam.device import pick_dtype
from samlab.sam.fast.upsample import Frame

_QUERY_SLICE = 512  # queries of one head whose scores (8 MB in float32) stay in the cache
_MLP_SLICE = 1024  # tokens whose hidden layer stays in the cache


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """What the image encoder says about one picture, and where the picture lies in it.

    Attributes:
        features: float32 tensor (1, C, G, G), normally (1, 256, 64, 64); cell (r, c) covers the
            pixels [16 r, 16 r + 16) x [16 c, 16 c + 16) of the padded input.
        input_size: (h, w) of the resized picture inside the padded input, pixels.
        image_size: (H, W) of the picture itself, pixels.
        img_size: Side of the padded square input, normally 1024.
        details: What else a decoder needs of the picture, such as SAM 2's finer features.
        padded: Whether the picture keeps its shape and is padded, as in SAM, or is squashed to the
            square, as in SAM 2 and later; `input_size` is the whole square then.
    """

    features: Tensor
    input_size: tuple[int, int]
    image_size: tuple[int, int]
    img_size: int = 1024
    details: tuple[Tensor, ...] = ()
    padded: bool = True

    @property
    def stride(self) -> float:
        """Pixels of the padded input per cell, normally 16."""
        return self.img_size / self.features.shape[-1]

    @property
    def scale(self) -> tuple[float, float]:
        """(y, x): pixels of the input per pixel of the picture."""
        return (
            self.input_size[0] / self.image_size[0],
            self.input_size[1] / self.image_size[1],
        )

    @property
    def valid_size(self) -> tuple[float, float]:
        """(rows, columns) of the grid that the picture covers, as floats; the rest is padding."""
        return self.input_size[0] / self.stride, self.input_size[1] / self.stride

    def grid(self) -> np.ndarray:
        """The features as a float32 array (C, G, G), for code that does not know torch."""
        array: np.ndarray = self.features[0].float().cpu().numpy()
        return array

    def frame(
        self,
        crop_box: tuple[int, int, int, int] | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> Frame:
        """How logits become masks of the picture; of a larger one, if this is a crop of it."""
        height, width = self.image_size
        box = (0, 0, width, height) if crop_box is None else crop_box
        size = self.image_size if image_size is None else image_size
        return Frame(self.input_size, self.img_size, box, size, self.padded)

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """Points or corners (..., 2) as (x, y) in the picture -> in the resized input, float64."""
        return np.asarray(points, dtype=np.float64) * np.array(self.scale[::-1])


@checked_arguments
def encode(
    image: ImageLike,
    sam: Sam,
    *,
    dtype: torch.dtype | str | None = None,
    compile: bool = False,
) -> ImageEmbedding:
    """Encode one picture; the features equal those of `SamPredictor.set_image`.

    Args:
        image: uint8 RGB array (H, W, 3), or anything `read_image` takes.
        sam: The model.
        dtype: Precision of the matrix products: None for that of the weights, "auto" for the
            fastest that the machine has natively, or a torch dtype or its name.
        compile: Run through torch.compile; the first call then takes minutes.

    Returns:
        The embedding. NaN or infinity from half precision is noticed: a warning is given and the
        picture is encoded again in float32.
    """
    return encode_batch([image], sam, dtype=dtype, compile=compile)[0]


def encode_batch(
    images: Sequence[ImageLike],
    sam: Sam,
    *,
    dtype: torch.dtype | str | None = None,
    compile: bool = False,
    batch_size: int | None = None,
) -> list[ImageEmbedding]:
    """Encode several pictures of any sizes, `batch_size` at a time (1 on a CPU, 8 elsewhere)."""
    precision = resolve_dtype(dtype, sam)
    step = batch_size or (1 if sam.device.type == "cpu" else 8)
    out: list[ImageEmbedding] = []
    for start in range(0, len(images), step):
        arrays = [read_image(image) for image in images[start : start + step]]
        inputs, sizes = zip(*(prepare(array, sam) for array in arrays), strict=True)
        features, *details = _encoded(torch.cat(inputs), sam, precision, compile)
        for i, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
            out.append(
                ImageEmbedding(
                    features=features[i : i + 1],
                    input_size=size,
                    image_size=(array.shape[0], array.shape[1]),
                    img_size=sam.image_encoder.img_size,
                    details=tuple(detail[i : i + 1] for detail in details),
                    padded=getattr(sam, "padded", True),
                )
            )
    return out


def resolve_dtype(dtype: torch.dtype | str | None, sam: Sam) -> torch.dtype:
    """The precision that `dtype` stands for on this model's device; see `encode`."""
    if dtype is None:
        if hasattr(sam, "precision"):
            precision: torch.dtype = sam.precision
            return precision
        weight = next((p for p in sam.parameters() if p.is_floating_point()), sam.pixel_mean)
        return weight.dtype
    return pick_dtype(sam.device, dtype)


def prepare(image: np.ndarray, sam: Sam) -> tuple[Tensor, tuple[int, int]]:
    """Resize, normalise and pad as SamPredictor does; float32 (1, 3, S, S) and the valid size."""
    side = sam.image_encoder.img_size
    if not getattr(sam, "padded", True):
        pixels = squash(image, side).to(sam.device)
        return (pixels - sam.pixel_mean) / sam.pixel_std, (side, side)
    height, width = ResizeLongestSide.get_preprocess_shape(*image.shape[:2], side)
    # SAM rounds the short side of a very thin picture to 0 and fails; one row or column is kept.
    height, width = max(height, 1), max(width, 1)
    if sam.image_format != "RGB":
        image = image[..., ::-1]
    resized = torch.as_tensor(_resized(image, height, width), device=sam.device)
    pixels = (resized.permute(2, 0, 1) - sam.pixel_mean.float()) / sam.pixel_std.float()
    return F.pad(pixels, (0, side - width, 0, side - height))[None], (height, width)


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's bilinear resizing, as SamPredictor's, a channel at a time.

    Pillow copies a colour picture at four bytes per pixel: 48 MB for 12 megapixels.
    """
    out = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
        out[..., channel] = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    return out


def squash(image: np.ndarray, side: int) -> Tensor:
    """Resize both sides to a square, uint8 (1, 3, S, S), as transformers does since SAM 2."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return resize_tensor(pixels, [side, side], InterpolationMode.BILINEAR, antialias=True)[None]


@torch.inference_mode()
def _encoded(x: Tensor, sam: Sam, dtype: torch.dtype, compile: bool) -> tuple[Tensor, ...]:
    """The features and, where the model's decoder needs more of the picture, the details."""
    encoder = sam.image_encoder
    own = getattr(sam, "run_encoder", None)
    if own is None and not isinstance(encoder, ImageEncoderViT):
        weight = next((p for p in encoder.parameters() if p.is_floating_point()), x)
        with stage("Encode"):
            return _checked_features((encoder(x.to(weight.dtype)).float(),))

    def walk(dtype: torch.dtype, step: Callable[[], None] | None = None) -> tuple[Tensor, ...]:
        if own is not None:
            found: tuple[Tensor, ...] = own(x, dtype)
            return found
        if compile:
            return (_compiled()(encoder, x, dtype),)
        return (vit_features(encoder, x, dtype, step),)

    blocks = None if own is not None or compile else len(encoder.blocks)
    with stage("Encode", blocks, "block") as told:
        features = walk(dtype, told.step)
    if dtype != torch.float32 and not _finite(features):
        warnings.warn(
            f"The image encoder gave NaN or infinity in {dtype}; encoding again in float32. "
            "Pass dtype='float32' to do so at once.",
            SamlabWarning,
            stacklevel=4,
        )
        features = walk(torch.float32)
    return _checked_features(features)


def _finite(features: tuple[Tensor, ...]) -> bool:
    return all(bool(torch.isfinite(part).all()) for part in features)


def _checked_features(features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """NaN here would become a picture in which nothing is found."""
    if not _finite(features):
        raise CheckpointError(
            "The image encoder answers with NaN or infinity, so that nothing can be segmented. Its "
            "weights are damaged; load the model again, from an earlier checkpoint."
        )
    return features


@cache
def _compiled() -> Callable[[ImageEncoderViT, Tensor, torch.dtype], Tensor]:
    return torch.compile(vit_features)


def vit_features(
    encoder: ImageEncoderViT,
    x: Tensor,
    dtype: torch.dtype,
    step: Callable[[], None] | None = None,
) -> Tensor:
    """`encoder(x)` for normalised, padded pictures (B, 3, S, S); float32 (B, C, S/16, S/16).

    `step` is called after each block.
    """
    x = vit_patches(encoder, x, dtype)
    for block in encoder.blocks:
        x = run_block(block, x, dtype)
        if step is not None:
            step()
    return vit_neck(encoder, x, dtype)


def vit_patches(encoder: ImageEncoderViT, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Normalised pixels (B, 3, S, S) to the residual stream, float32 (B, S/16, S/16, C)."""
    patches = encoder.patch_embed.proj
    x = F.conv2d(x.to(dtype), patches.weight.to(dtype), _cast(patches.bias, dtype), patches.stride)
    x = x.permute(0, 2, 3, 1).float()
    if encoder.pos_embed is not None:
        x = x + encoder.pos_embed.float()
    return x.contiguous()


def vit_neck(encoder: ImageEncoderViT, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The residual stream (B, G, G, C) to the embedding, float32 (B, 256, G, G)."""
    x = x.permute(0, 3, 1, 2)
    narrow, norm1, smooth, norm2 = encoder.neck
    x = F.conv2d(x.to(dtype), narrow.weight.to(dtype)).float()
    x = _channel_norm(norm1, x)
    x = F.conv2d(x.to(dtype), smooth.weight.to(dtype), padding=1).float()
    return _channel_norm(norm2, x).contiguous()


def _cast(x: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if x is None else x.to(dtype)


def _linear(layer: torch.nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight.to(x.dtype), _cast(layer.bias, x.dtype))


def _layer_norm(norm: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    weight, bias = _cast(norm.weight, x.dtype), _cast(norm.bias, x.dtype)
    return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def _channel_norm(norm: LayerNorm2d, x: Tensor) -> Tensor:
    """SAM's LayerNorm2d is a layer norm over the channels of (B, C, H, W)."""
    rows = x.permute(0, 2, 3, 1)
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return F.layer_norm(rows, weight.shape, weight, bias, norm.eps).permute(0, 3, 1, 2)


def run_block(block: Block, x: Tensor, dtype: torch.dtype) -> Tensor:
    """One transformer block on the residual stream, float32 (B, H, W, C)."""
    height, width = x.shape[1:3]
    y = _layer_norm(block.norm1, x).to(dtype)
    if block.window_size > 0:
        y, padded = window_partition(y, block.window_size)
        y = _attention(block.attn, y)
        y = window_unpartition(y, block.window_size, padded, (height, width))
    else:
        y = _attention(block.attn, y)
    x = x + y
    rows = x.view(-1, x.shape[-1])
    step = _MLP_SLICE if x.device.type == "cpu" else len(rows)
    for part in rows.split(step):
        hidden = _linear(block.mlp.lin1, _layer_norm(block.norm2, part).to(dtype))
        part += _linear(block.mlp.lin2, block.mlp.act(hidden))
    return x


def _attention(attn: Attention, x: Tensor) -> Tensor:
    """Multi-head attention with decomposed relative positions, (B, H, W, C) -> the same."""
    batch, height, width, channels = x.shape
    qkv = _linear(attn.qkv, x).view(batch, height * width, 3, attn.num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    if not attn.use_rel_pos:
        mixed = F.scaled_dot_product_attention(q, k, v, scale=attn.scale)
    else:
        along_y = get_rel_pos(height, height, attn.rel_pos_h).to(x.dtype)
        along_x = get_rel_pos(width, width, attn.rel_pos_w).to(x.dtype)
        cells = q.unflatten(2, (height, width))
        rel_y = torch.einsum("bnhwc,hkc->bnhwk", cells, along_y)
        rel_x = torch.einsum("bnhwc,wkc->bnhwk", cells, along_x)
        if x.device.type == "cpu" and height * width > _QUERY_SLICE:
            mixed = _attention_in_slices(q * attn.scale, k, v, rel_y, rel_x)
        else:
            mixed = _attention_with_mask(q, k, v, rel_y, rel_x, attn.scale)
    mixed = mixed.transpose(1, 2).reshape(batch, height, width, channels)
    return _linear(attn.proj, mixed)


def _attention_with_mask(
    q: Tensor, k: Tensor, v: Tensor, rel_y: Tensor, rel_x: Tensor, scale: float
) -> Tensor:
    """q, k, v (B, heads, L, d); rel_y (B, heads, H, W, H), rel_x (B, heads, H, W, W)."""
    length = q.shape[2]
    parts = []
    # One picture's global bias is heads x L x L; a batch of them would not fit small GPUs.
    step = len(q) if length <= _QUERY_SLICE else 1
    for i in range(0, len(q), step):
        s = slice(i, i + step)
        bias = rel_y[s, ..., :, None] + rel_x[s, ..., None, :]
        bias = bias.reshape(-1, q.shape[1], length, length)
        parts.append(F.scaled_dot_product_attention(q[s], k[s], v[s], attn_mask=bias, scale=scale))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _attention_in_slices(q: Tensor, k: Tensor, v: Tensor, rel_y: Tensor, rel_x: Tensor) -> Tensor:
    """The same for scaled queries, a slice of one head's queries at a time."""
    batch, heads, length, _ = q.shape
    height, width = rel_y.shape[-1], rel_x.shape[-1]
    rel_y = rel_y.reshape(batch, heads, length, height, 1)
    rel_x = rel_x.reshape(batch, heads, length, 1, width)
    out = torch.empty_like(q)
    for b, n, part in _slices(batch, heads, length):
        scores = (q[b, n, part] @ k[b, n].t()).view(-1, height, width)
        scores += rel_y[b, n, part]
        scores += rel_x[b, n, part]
        torch.matmul(scores.view(-1, length).softmax(dim=-1), v[b, n], out=out[b, n, part])
    return out


def _slices(batch: int, heads: int, length: int) -> Iterator[tuple[int, int, slice]]:
    for b in range(batch):
        for n in range(heads):
            for start in range(0, length, _QUERY_SLICE):
                yield b, n, slice(start, start + _QUERY_SLICE)
