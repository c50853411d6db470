"""SAM taken apart: shapes and attention of the official model, read from live tensors.

For looking, not for speed: the notebook `05_anatomy_of_sam` is made of these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling.image_encoder import get_rel_pos, window_partition
from segment_anything.modeling.transformer import Attention
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from samlab.errors import InputError
from samlab.errors.arguments import checked_arguments
from samlab.errors.ranges import Count, Seed
from samlab.images import ImageLike, read_image
from samlab.sam import checkpoints
from samlab.sam.fast import ImageEmbedding, PlainDecoder, open_decoder, prepare, run_block
from samlab.sam.load import load_sam

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from segment_anything.modeling.image_encoder import ImageEncoderViT


@checked_arguments
def official_or_random(name: str = "vit_b", seed: Seed = 0) -> tuple[Sam, bool]:
    """An official model with its weights if they are on this machine, else with random ones.

    Returns:
        The model, on the CPU, and whether its weights are the trained ones. Nothing is downloaded.
        Random weights have the right shapes and mechanics; what attention looks at then means
        nothing.
    """
    if checkpoints.find(name) is not None:
        return load_sam(name, device="cpu"), True
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    sam = sam_model_registry[name]().eval().requires_grad_(False)
    torch.random.set_rng_state(state)
    return sam, False


# ---------------------------------------------------------------- the image encoder


@dataclass(frozen=True)
class Step:
    """One tensor on the way through the encoder: its name, shape and what happened."""

    name: str
    shape: tuple[int, ...]
    note: str


@dataclass(frozen=True, eq=False)
class EncoderWalk:
    """One picture's way through the image encoder.

    Attributes:
        steps: Every tensor in order.
        streams: Block number -> its input, float32 (1, 64, 64, C), for the blocks asked for.
        features: The result, as `encode` gives it.
        seconds: Processor time of the encoder; gflop: its arithmetic, 1e9 multiplications and
            additions.
    """

    steps: list[Step]
    streams: dict[int, Tensor]
    features: ImageEmbedding
    seconds: float
    gflop: float


@checked_arguments
@torch.no_grad()
def walk_encoder(sam: Sam, image: ImageLike, keep: tuple[int, ...] = ()) -> EncoderWalk:
    """Send a picture through the official image encoder, step by step.

    Args:
        sam: A model with SAM's own ViT encoder.
        image: The picture.
        keep: Numbers of blocks whose input is kept.
    """
    encoder: ImageEncoderViT = sam.image_encoder
    if not hasattr(encoder, "patch_embed"):
        raise InputError(f"Expected SAM's own ViT encoder, got {type(encoder).__name__}.")
    array = read_image(image)
    x, size = prepare(array, sam)
    steps = [
        Step("picture", array.shape, "as it is"),
        Step("input", tuple(x.shape), f"scaled to {size[1]} x {size[0]}, normalised, padded"),
    ]
    streams: dict[int, Tensor] = {}
    start = time.process_time()
    with FlopCounterMode(display=False) as counter:
        x = encoder.patch_embed(x)
        steps.append(Step("patches", tuple(x.shape), "one vector per 16 x 16 pixels"))
        if encoder.pos_embed is not None:
            x = x + encoder.pos_embed
            steps.append(Step("plus positions", tuple(x.shape), "learned, one per patch"))
        for i, block in enumerate(encoder.blocks):
            if i in keep:
                streams[i] = x.clone()
            steps.append(Step(f"block {i}", _attended(x, block.window_size), _kind(block)))
            x = run_block(block, x.contiguous(), torch.float32)
        x = x.permute(0, 3, 1, 2)
        for layer in encoder.neck:
            x = layer(x)
            steps.append(Step(f"neck: {type(layer).__name__}", tuple(x.shape), _neck(layer)))
    seconds = time.process_time() - start
    embedding = ImageEmbedding(x, size, (array.shape[0], array.shape[1]), encoder.img_size)
    return EncoderWalk(steps, streams, embedding, seconds, counter.get_total_flops() / 1e9)


def _attended(x: Tensor, window: int) -> tuple[int, ...]:
    return tuple(window_partition(x, window)[0].shape) if window > 0 else tuple(x.shape)


def _kind(block: Any) -> str:
    size = block.window_size
    return f"attention within windows of {size} x {size}" if size else "attention among all patches"


def _neck(layer: Any) -> str:
    if isinstance(layer, torch.nn.Conv2d):
        return f"convolution {layer.kernel_size[0]} x {layer.kernel_size[1]}"
    return "normalised over channels"


@checked_arguments
@torch.no_grad()
def encoder_attention(
    encoder: ImageEncoderViT, stream: Tensor, block: int, cell: tuple[int, int]
) -> np.ndarray:
    """What one patch looks at in one block.

    Args:
        encoder: SAM's ViT.
        stream: The block's input, from `walk_encoder(..., keep=(block,))`.
        block: Its number.
        cell: (row, column) of the patch.

    Returns:
        float32 (heads, rows, columns); NaN where the block's windows do not let it look. Where a
        window reaches over the edge, a part of the attention falls on padding and is not shown.
    """
    layer = encoder.blocks[block]
    attn, window = layer.attn, layer.window_size
    rows, columns = stream.shape[1:3]
    size = (window, window) if window > 0 else (rows, columns)
    top, left = (cell[0] // size[0] * size[0], cell[1] // size[1] * size[1])
    tokens = torch.zeros(*size, stream.shape[-1])
    part = layer.norm1(stream)[0, top : top + size[0], left : left + size[1]]
    tokens[: part.shape[0], : part.shape[1]] = part
    qkv = attn.qkv(tokens.flatten(0, 1)).unflatten(-1, (3, attn.num_heads, -1))
    y, x = cell[0] - top, cell[1] - left
    q = qkv[y * size[1] + x, 0]
    scores = torch.einsum("hd,lhd->hl", q * attn.scale, qkv[:, 1]).unflatten(1, size)
    if attn.use_rel_pos:
        along_y = get_rel_pos(size[0], size[0], attn.rel_pos_h)[y]
        along_x = get_rel_pos(size[1], size[1], attn.rel_pos_w)[x]
        scores = scores + (q @ along_y.T)[:, :, None] + (q @ along_x.T)[:, None, :]
    weights = scores.flatten(1).softmax(dim=1).unflatten(1, size)
    out = np.full((attn.num_heads, rows, columns), np.nan, np.float32)
    inside = weights[:, : part.shape[0], : part.shape[1]].numpy()
    out[:, top : top + part.shape[0], left : left + part.shape[1]] = inside
    return out


# ---------------------------------------------------------------- the mask decoder


@dataclass(frozen=True, eq=False)
class DecoderWalk:
    """One prompt's way through the mask decoder.

    Attributes:
        tokens: Names of the tokens: IoU, four masks, then the prompt's own.
        attention: Name of the attention -> weights, float32 (heads, queries, keys). Tokens to image
            have a query per token and a key per patch, image to tokens the other way round.
        upscaled: float32 (32, 256, 256), the picture as the masks are read from it.
        weights: float32 (4, 32), what the hypernetworks made of the four mask tokens.
        logits: float32 (4, 256, 256), the masks, each the sum of `upscaled` weighted by a row.
        iou: float32 (4,), predicted.
    """

    tokens: list[str]
    attention: dict[str, np.ndarray]
    upscaled: np.ndarray
    weights: np.ndarray
    logits: np.ndarray
    iou: np.ndarray


@checked_arguments
@torch.no_grad()
def walk_decoder(sam: Sam, features: ImageEmbedding, point: tuple[float, float]) -> DecoderWalk:
    """Ask the official mask decoder about one point (x, y) of the picture, and note everything."""
    coords = torch.as_tensor(features.to_input(np.array([[point]]))).float()
    sparse, dense = sam.prompt_encoder((coords, torch.ones(1, 1)), None, None)
    decoder = sam.mask_decoder
    seen: dict[Any, Any] = {}
    hooks = [
        decoder.output_upscaling.register_forward_hook(
            lambda _m, _i, out: seen.__setitem__("upscaled", out[0].numpy())
        )
    ]
    for i, mlp in enumerate(decoder.output_hypernetworks_mlps):
        hooks.append(
            mlp.register_forward_hook(lambda _m, _i, out, i=i: seen.__setitem__(i, out[0].numpy()))
        )
    try:
        with recorded_attention(decoder.transformer) as attention:
            logits, iou = decoder.predict_masks(
                features.features, sam.prompt_encoder.get_dense_pe(), sparse, dense
            )
    finally:
        for hook in hooks:
            hook.remove()
    count = decoder.num_mask_tokens
    names = ["IoU", *(f"mask {i}" for i in range(count)), "point", "no point"]
    return DecoderWalk(
        names,
        attention,
        seen["upscaled"],
        np.stack([seen[i] for i in range(count)]),
        logits[0].numpy(),
        iou[0].numpy(),
    )


@checked_arguments
@contextmanager
def recorded_attention(transformer: torch.nn.Module) -> Iterator[dict[str, np.ndarray]]:
    """Note the attention weights of every attention of a two-way transformer while it runs.

    Yields:
        Module name -> float32 (heads, queries, keys) of the first of a batch.
    """
    maps: dict[str, np.ndarray] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: Attention, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given = dict(zip("qkv", args, strict=False)) | kwargs
            heads = module.num_heads
            q, k = (
                layer(x[:1]).unflatten(-1, (heads, -1)).transpose(1, 2)[0]
                for layer, x in ((module.q_proj, given["q"]), (module.k_proj, given["k"]))
            )
            scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
            maps[name] = scores.softmax(dim=-1).numpy()

        return hook

    hooks = [
        module.register_forward_pre_hook(note(name), with_kwargs=True)
        for name, module in transformer.named_modules()
        if isinstance(module, Attention)
    ]
    try:
        yield maps
    finally:
        for hook_handle in hooks:
            hook_handle.remove()


# ---------------------------------------------------------------- where the time goes


@checked_arguments
def decoder_costs(sam: Sam, features: ImageEmbedding, prompts: Count = 8) -> list[dict[str, Any]]:
    """What one prompt costs in the official decoder and in the factored one.

    Args:
        sam: A model with SAM's own decoder.
        features: A picture.
        prompts: How many points to ask at a time.

    Returns:
        Rows with "part", "gflop" and "seconds" (processor time), per prompt; "once" is 1 where the
        cost arises once per picture instead.
    """
    rng = np.random.default_rng(0)
    height, width = features.input_size
    points = torch.as_tensor(rng.uniform(0, 1, (prompts, 1, 2)) * [width, height]).float()
    labels = torch.ones(prompts, 1)
    plain, rows = PlainDecoder(sam, features), []
    plain.predict(points[:1], labels[:1])  # allocate and warm up
    opened: list[Any] = []

    def masks() -> None:
        found = opened[0].predict(points, labels)
        found.logits(torch.nonzero(torch.ones_like(found.iou)))

    for part, run, share in (
        ("SAM's decoder", lambda: plain.predict(points, labels), prompts),
        ("factored: opening", lambda: opened.append(open_decoder(sam, features)), 1),
        ("factored: scores only", lambda: opened[0].predict(points, labels), prompts),
        ("factored: scores and masks", masks, prompts),
    ):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        start = time.process_time()
        run()
        seconds = time.process_time() - start
        rows.append(
            {
                "part": part,
                "gflop": counter.get_total_flops() / 1e9 / share,
                "seconds": seconds / share,
                "once": int(share == 1),
            }
        )
    return rows
