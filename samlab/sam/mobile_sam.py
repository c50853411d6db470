"""MobileSAM: SAM's prompt encoder and mask decoder behind a small image encoder, a TinyViT.

Sources: "Faster Segment Anything" (Zhang et al., 2023, arXiv:2306.14289) and its repository,
ChaoningZhang/MobileSAM, mobile_sam/modeling/tiny_vit_sam.py, for the shape of the encoder;
"TinyViT" (Wu et al., 2022, arXiv:2207.10666) for the idea. The parts are named as in the published
file, so that its state dict fits. The tests compare with timm's TinyViT, an implementation by
others. MobileSAM differs from TinyViT in two ways: the last merging keeps the resolution (so the
grid is 64 x 64), and SAM's neck stands in the place of the classifier, which is in the file but
unused.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 128, 160, 320)
DEPTHS = (2, 2, 6, 2)
HEADS = (2, 4, 5, 10)
WINDOWS = (7, 7, 14, 7)


class ConvNorm(nn.Sequential):
    """A convolution without bias and its batch normalisation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.add_module("c", conv)
        self.add_module("bn", nn.BatchNorm2d(outputs))


class PatchEmbed(nn.Module):
    """Pixels to cells of 4 x 4 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, 3, stride=2),
            nn.GELU(),
            ConvNorm(width // 2, width, 3, stride=2),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.seq(x)
        return out


class ConvBlock(nn.Module):
    """Widen, look around, narrow, add (MobileNetV2's inverted bottleneck)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 4 * width
        self.conv1 = ConvNorm(width, inner)
        self.conv2 = ConvNorm(inner, inner, 3, groups=inner)
        self.conv3 = ConvNorm(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(inner))


class Merging(nn.Module):
    """From one stage to the next: another width, and half the resolution or the same."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(inputs, outputs)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride=stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return out


class Attention(nn.Module):
    """Attention inside a window, with a learned bias per distance in rows and columns."""

    attention_bias_idxs: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        cells = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        apart = (cells[:, None] - cells[None]).abs()
        # Row-major over (rows apart, columns apart): the order in which the published code meets
        # the distances, beginning at the window's corner.
        index = apart[..., 0] * window + apart[..., 1]
        self.register_buffer("attention_bias_idxs", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(windows, cells, width) -> the same shape."""
        n, cells, width = x.shape
        qkv = self.qkv(self.norm(x)).view(n, cells, self.heads, 3, width // self.heads)
        q, k, v = qkv.permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.attention_bias_idxs]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out = self.proj(out.transpose(1, 2).reshape(n, cells, width))
        return out


class Mlp(nn.Module):
    """Per cell: normalise, widen four times, narrow."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class AttentionBlock(nn.Module):
    """Attention in windows, a 3 x 3 depthwise convolution, and an MLP."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = Attention(width, heads, window)
        self.local_conv = ConvNorm(width, width, 3, groups=width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        cells = x.permute(0, 2, 3, 1)
        cells = cells + self._in_windows(cells)
        x = self.local_conv(cells.permute(0, 3, 1, 2))
        cells = x.permute(0, 2, 3, 1)
        return (cells + self.mlp(cells)).permute(0, 3, 1, 2)

    def _in_windows(self, cells: Tensor) -> Tensor:
        """Attention per window; a picture that does not divide is padded with zeros, which take
        part in the attention as they did in training."""
        side = self.window
        b, h, w, width = cells.shape
        down, right = -h % side, -w % side
        padded = F.pad(cells, (0, 0, 0, right, 0, down))
        rows, columns = (h + down) // side, (w + right) // side
        grid = padded.view(b, rows, side, columns, side, width).transpose(2, 3)
        out = self.attn(grid.reshape(-1, side * side, width))
        out = out.view(b, rows, columns, side, side, width).transpose(2, 3)
        out = out.reshape(b, h + down, w + right, width)
        return out[:, :h, :w]


class Stage(nn.Module):
    """Blocks of one width and resolution, and the way to the next stage."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """MobileSAM's image encoder: (B, 3, 1024, 1024) normalised pixels -> (B, 256, 64, 64)."""

    def __init__(self, img_size: int = 1024) -> None:
        super().__init__()
        self.img_size = img_size
        self.patch_embed = PatchEmbed(WIDTHS[0])
        self.layers = nn.ModuleList(_stage(i) for i in range(len(WIDTHS)))
        self.norm_head = nn.LayerNorm(WIDTHS[-1])
        self.head = nn.Linear(WIDTHS[-1], 1000)
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        out: Tensor = self.neck(x)
        return out


def _stage(index: int) -> Stage:
    width, heads, window = WIDTHS[index], HEADS[index], WINDOWS[index]
    blocks: list[nn.Module] = [
        ConvBlock(width) if index == 0 else AttentionBlock(width, heads, window)
        for _ in range(DEPTHS[index])
    ]
    last = len(WIDTHS) - 1
    if index == last:
        return Stage(blocks, None)
    stride = 1 if index + 1 == last else 2
    return Stage(blocks, Merging(width, WIDTHS[index + 1], stride))


def build_mobile_sam() -> Sam:
    """MobileSAM as SAM's own class, with random weights; `load_sam("mobile_sam")` fills them."""
    return Sam(
        image_encoder=TinyViT(),
        prompt_encoder=PromptEncoder(
            embed_dim=256,
            image_embedding_size=(64, 64),
            input_image_size=(1024, 1024),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
            transformer_dim=256,
        ),
    )
