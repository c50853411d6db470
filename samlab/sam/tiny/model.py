"""The embedded model `tiny`: weights in the package, masks without a download, SAM's interface.

`build_tiny()` gives SAM's own class `Sam`, put together from three modules of ours, so that
`SamPredictor` and `SamAutomaticMaskGenerator` work with it unchanged. It is not SAM: it segments by
appearance. The encoder is a small network (`tiny_net`) that sees outlines, affinities and
materials; the prompt encoder hands prompts on as they are; the mask decoder looks masks up in the
region trees of the embedding (`region_tree`, `tree_prompts`).

Trained on procedural scenes alone; see `docs/embedded_model.md`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F

from samlab.errors import CheckpointError, InputError
from samlab.errors.arguments import checked_arguments
from samlab.sam.tiny.decoder import TreeDecoder, TreePredictions
from samlab.sam.tiny.net import (
    EMBEDDING_DIM,
    PIXEL_MEAN,
    PIXEL_STD,
    STRIDE,
    TinyNet,
    pack,
    unpack,
)
from samlab.sam.tiny.region_tree import Maps
from samlab.sam.tiny.scores import TreeModel

WEIGHTS = Path(__file__).with_name("tiny.safetensors")
IMG_SIZE = 1024
PADDING_L = -50.0
"""Lightness of cells without a picture, by which the decoder knows padding."""

REMEMBERED = 4
"""Embeddings whose trees the mask decoder keeps."""


class TinyImageEncoder(nn.Module):
    """A padded picture, normalised as SAM does it, to an embedding (`tiny_net.pack`)."""

    def __init__(self, net: TinyNet, img_size: int = IMG_SIZE) -> None:
        super().__init__()
        self.img_size = img_size
        self.net = net

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) float32, zero where padded -> (B, 256, S/16, S/16) float32."""
        if x.ndim != 4 or x.shape[1:] != (3, self.img_size, self.img_size):
            raise InputError(
                f"Expected pictures of shape (B, 3, {self.img_size}, {self.img_size}), got "
                f"{tuple(x.shape)}. Use SamPredictor, or Sam.preprocess, to resize and pad."
            )
        return torch.cat([self._one(picture[None]) for picture in x.float()])

    def _one(self, x: Tensor) -> Tensor:
        height, width = valid_size(x[0])
        rows, columns = (-(-size // STRIDE) * STRIDE for size in (height, width))
        cut = x[:, :, :rows, :columns].contiguous(memory_format=torch.channels_last)
        semantic, boundary, affinity = self.net(cut)
        lab = _lab_of_cells(cut, height, width)
        # Logits beyond 10, as certain as padding is, would only add to the length of the vectors.
        packed = pack(semantic, boundary.clamp(-10, 10), affinity, lab)
        packed[:, :128] *= _covered(packed, height, width)
        cells = self.img_size // 16
        padding = _padding(packed.shape[1], packed.device)
        whole = padding.expand(1, -1, cells, cells).clone()
        whole[:, :, : packed.shape[2], : packed.shape[3]] = packed
        return whole


def valid_size(x: Tensor) -> tuple[int, int]:
    """(h, w) of the picture in a padded input (3, S, S); SAM pads with exact zeros, which no pixel
    value gives after its normalisation. At least (1, 1)."""
    used = (x != 0).any(0)
    rows, columns = used.any(1).nonzero(), used.any(0).nonzero()
    if len(rows) == 0:
        return 1, 1
    return int(rows[-1]) + 1, int(columns[-1]) + 1


def _lab_of_cells(x: Tensor, height: int, width: int) -> Tensor:
    """(1, 3, h, w) CIE Lab of stride-4 cells, D65; cells that hold no pixel of the picture have
    lightness `PADDING_L`. Formulas: IEC 61966-2-1 (sRGB) and CIE 15 (Lab)."""
    mean = torch.tensor(PIXEL_MEAN, device=x.device).view(1, 3, 1, 1)
    std = torch.tensor(PIXEL_STD, device=x.device).view(1, 3, 1, 1)
    rgb = ((x * std + mean) / 255).clamp(0, 1)
    inside = torch.zeros_like(x[:, :1])
    inside[:, :, :height, :width] = 1
    share = F.avg_pool2d(inside, 4)
    rgb = F.avg_pool2d(rgb * inside, 4) / share.clamp(min=1e-6)
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = torch.tensor(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ],
        device=x.device,
    )
    white = to_xyz.sum(1).view(1, 3, 1, 1)
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz, linear) / white
    f = torch.where(xyz > 216 / 24389, xyz.clamp(min=1e-8) ** (1 / 3), xyz * (841 / 108) + 4 / 29)
    lab = torch.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], dim=1
    )
    empty = torch.tensor([PADDING_L, 0.0, 0.0], device=x.device).view(1, 3, 1, 1)
    return torch.where(share > 0, lab, empty)


def _covered(packed: Tensor, height: int, width: int) -> Tensor:
    """(1, 1, h, w): 1 where a stride-16 cell holds any of the picture, else 0."""
    mask = torch.zeros_like(packed[:, :1])
    mask[:, :, : -(-height // 16), : -(-width // 16)] = 1
    return mask


def _padding(channels: int, device: torch.device) -> Tensor:
    """What the embedding holds where there is no picture, (1, 256, 1, 1)."""
    blank = torch.zeros(1, channels, 1, 1, device=device)
    lab = torch.zeros(1, 3, 4, 4, device=device)
    lab[:, 0] = PADDING_L
    semantic, boundary = torch.zeros(1, 128, 1, 1), torch.full((1, 1, 4, 4), -10.0)
    affinity = torch.zeros(1, 16, 2, 2)
    return blank + pack(semantic.to(device), boundary.to(device), affinity.to(device), lab)


@checked_arguments
def read_maps(embedding: Tensor) -> Maps:
    """The maps in an embedding (1, 256, h, w), cut to the cells that hold the picture."""
    semantic, boundary, affinity, lab = unpack(embedding.detach().float().cpu())
    inside = lab[0, 0] > PADDING_L / 2
    height = max(int(inside.any(1).sum()), 1)
    width = max(int(inside.any(0).sum()), 1)

    def grow(x: Tensor, factor: int) -> np.ndarray:
        wide = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
        return np.ascontiguousarray(wide[0, :, :height, :width].permute(1, 2, 0).numpy())

    return Maps(
        boundary=np.ascontiguousarray(boundary[0, 0, :height, :width].sigmoid().numpy()),
        lab=np.ascontiguousarray(lab[0, :, :height, :width].permute(1, 2, 0).numpy()) / 100,
        affinity=grow(affinity, 2),
        semantic=grow(semantic, 4),
    )


class TinyPromptEncoder(nn.Module):
    """Hands prompts on to the mask decoder, in the shapes of SAM's prompt encoder.

    Sparse embeddings (P, N, 256): x, y and label (1 foreground, 0 background, -1 none, 2 and 3 a
    box's corners), then zeros. Dense embeddings (P, 256, 64, 64): in 16 channels the mask's logits
    (pixel unshuffle by 4), in the next a 1 if there is a mask.
    """

    def __init__(self, img_size: int = IMG_SIZE) -> None:
        super().__init__()
        side = img_size // 16
        self.embed_dim = EMBEDDING_DIM
        self.input_image_size = (img_size, img_size)
        self.image_embedding_size = (side, side)
        self.mask_input_size = (4 * side, 4 * side)
        self.register_buffer("place", torch.zeros(1), persistent=False)

    def get_dense_pe(self) -> Tensor:
        """(1, 256, 64, 64) zeros: the decoder needs no positions."""
        device = self.get_buffer("place").device
        return torch.zeros(1, 1, 1, 1, device=device).expand(
            1, self.embed_dim, *self.image_embedding_size
        )

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Points ((P, K, 2), (P, K)), boxes (P, 4), masks (P, 1, 256, 256); any may be None."""
        device = self.get_buffer("place").device
        given = [x for x in (points[0] if points else None, boxes, masks) if x is not None]
        count = len(given[0]) if given else 1
        rows = []
        if points is not None:
            rows.append(torch.cat([points[0].float(), points[1].float()[..., None]], dim=-1))
        if boxes is not None:
            corners = boxes.float().reshape(count, 2, 2)
            kinds = torch.tensor([2.0, 3.0], device=corners.device).expand(count, 2)[..., None]
            rows.append(torch.cat([corners, kinds], dim=-1))
        sparse = torch.zeros(count, 0, 3, device=device)
        if rows:
            sparse = torch.cat([row.to(device) for row in rows], dim=1)
        sparse = F.pad(sparse, (0, self.embed_dim - 3))
        if masks is None:
            blank = torch.zeros(1, 1, 1, 1, device=device)
            return sparse, blank.expand(count, self.embed_dim, *self.image_embedding_size)
        hidden = F.pixel_unshuffle(masks.float().to(device), 4)
        dense = F.pad(hidden, (0, 0, 0, 0, 0, self.embed_dim - 16))
        dense[:, 16] = 1
        return sparse, dense


class TinyMaskDecoder(nn.Module):
    """Answers prompts from the region trees of the embedding, built once per embedding."""

    def __init__(self, model: TreeModel) -> None:
        super().__init__()
        self.model = model
        self._opened: OrderedDict[bytes, TreeDecoder] = OrderedDict()

    def open(self, features: Tensor, input_size: tuple[int, int] | None = None) -> TreeDecoder:
        """The trees of one embedding (1, 256, h, w), ready for prompts.

        `input_size` is not needed: the embedding itself says where the picture ends.
        """
        if features.ndim != 4 or features.shape[:2] != (1, EMBEDDING_DIM):
            raise InputError(
                f"Expected one embedding of shape (1, {EMBEDDING_DIM}, h, w), got "
                f"{tuple(features.shape)}. Decode the pictures of a batch one by one."
            )
        values = features.detach().float().cpu().contiguous()
        key = hashlib.sha256(values.numpy().tobytes()).digest() + str(features.device).encode()
        if key not in self._opened:
            grid = (4 * features.shape[2], 4 * features.shape[3])
            decoder = TreeDecoder(read_maps(values), self.model, grid, features.device)
            self._opened[key] = decoder
        self._opened.move_to_end(key)
        while len(self._opened) > REMEMBERED:
            self._opened.popitem(last=False)
        return self._opened[key]

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Low-resolution logits (P, M, 256, 256) and predicted IoUs (P, M); M is 3 or 1."""
        decoder = self.open(image_embeddings)
        sparse, dense = sparse_prompt_embeddings, dense_prompt_embeddings
        found = _decode(decoder, sparse, dense, multimask_output)
        count, outputs = found.iou.shape
        index = torch.cartesian_prod(torch.arange(count), torch.arange(outputs))
        logits = found.logits(index.reshape(-1, 2))
        return logits.reshape(count, outputs, *logits.shape[1:]), found.iou


def _decode(
    decoder: TreeDecoder, sparse: Tensor, dense: Tensor, multimask_output: bool
) -> TreePredictions:
    """Undo `TinyPromptEncoder` and ask the trees."""
    corner = sparse[0, :, 2] >= 2 if len(sparse) else torch.zeros(0, dtype=torch.bool)
    points, corners = sparse[:, ~corner], sparse[:, corner]
    masked = dense.shape[1] > 16 and bool((dense[:1, 16, :1, :1] == 1).all())
    has_points = points.shape[1] > 0
    return decoder.predict(
        point_coords=points[..., :2] if has_points else None,
        point_labels=points[..., 2] if has_points else None,
        boxes=corners[..., :2].reshape(len(sparse), 4) if corners.shape[1] == 2 else None,
        mask_input=F.pixel_shuffle(dense[:, :16], 4) if masked else None,
        multimask_output=multimask_output,
    )


def build_tiny(weights: Path | None = None) -> Sam:
    """The embedded model as SAM's own class, in eval mode, on the CPU.

    weights: a safetensors file with the network and the arrays of the trees; None for the one in
    the package.

    >>> sam = build_tiny()
    >>> type(sam).__name__, sam.image_encoder.img_size, sam.mask_threshold
    ('Sam', 1024, 0.0)
    """
    path = Path(weights) if weights is not None else WEIGHTS
    arrays = _read(path)
    net = TinyNet()
    state = {k: torch.from_numpy(v) for k, v in arrays.items() if not k.startswith("tree.")}
    try:
        net.load_state_dict(state)
        model = TreeModel.from_arrays(arrays)
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(
            f"Expected the embedded model's network and trees in '{path}', but they do not fit: "
            f"{str(error).splitlines()[0]} Reinstall samlab, or leave `weights` out."
        ) from error
    net.fuse().to(memory_format=torch.channels_last)
    sam = Sam(
        TinyImageEncoder(net),
        TinyPromptEncoder(),
        TinyMaskDecoder(model),
        list(PIXEL_MEAN),
        list(PIXEL_STD),
    )
    return sam.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file, floats as float32."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"Expected the embedded model's weights in '{path}', but they cannot be read "
            f"({error}). Reinstall samlab, or pass the path of another weights file."
        ) from error
    return {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in arrays.items()}
