"""Later SAMs of real size with seeded weights, and transformers' pipeline as their reference."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from PIL import Image

from samlab.sam.load import load_sam

#: Blocks per stage, width, heads, global blocks and windows of SAM 2.1's four sizes.
_HIERA = {
    "sam2.1_hiera_tiny": ([1, 2, 7, 2], 96, 1, [5, 7, 9], [8, 4, 14, 7]),
    "sam2.1_hiera_small": ([1, 2, 11, 2], 96, 1, [7, 10, 13], [8, 4, 14, 7]),
    "sam2.1_hiera_base_plus": ([2, 3, 16, 3], 112, 2, [12, 16, 20], [8, 4, 14, 7]),
    "sam2.1_hiera_large": ([2, 6, 36, 4], 144, 2, [23, 33, 43], [8, 4, 16, 8]),
}


def is_family(name: str) -> bool:
    """Whether a name is one of these, rather than SAM's or a path."""
    return name in _HIERA


def build_pair(name: str, device: str) -> tuple[Any, Any]:
    """transformers' model with seeded random weights, and ours with the same."""
    import transformers

    transformers.logging.set_verbosity_error()
    stages, width, heads, everywhere, windows = _HIERA[name]
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=width,
        num_attention_heads=heads,
        blocks_per_stage=stages,
        embed_dim_per_stage=[width * 2**i for i in range(4)],
        num_attention_heads_per_stage=[heads * 2**i for i in range(4)],
        global_attention_blocks=everywhere,
        window_size_per_stage=windows,
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[width * 2**i for i in (3, 2, 1, 0)]
    )
    torch.manual_seed(0)
    model = transformers.Sam2Model(transformers.Sam2Config(vision_config=vision)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # as they come, random weights give all prompts the same answer
        for weight in model.parameters():
            if weight.ndim > 1:
                noise = torch.randn(weight.shape, generator=generator)
                weight.copy_(noise / weight[0].numel() ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        sam = load_sam(folder, device=device)
    sam.samlab_name = name
    return model.to(device), sam


def _scores_in_float32(_: Any, __: Any, out: Any) -> Any:
    out["iou_scores"] = out["iou_scores"].float()
    return out


class PipelineReference:
    """transformers' mask-generation pipeline with the arguments and records of SAM's class."""

    def __init__(self, model: Any, device: str, **options: Any) -> None:
        from transformers import Sam2ImageProcessor, pipeline

        # In bfloat16 the pipeline's suppression refuses its own scores (transformers 5.23).
        model.register_forward_hook(_scores_in_float32)
        self._pipeline = pipeline(
            "mask-generation", model=model, image_processor=Sam2ImageProcessor(), device=device
        )
        self._options = {
            "points_per_batch": 64,
            "points_per_crop": options["points_per_side"],
            "pred_iou_thresh": options["pred_iou_thresh"],
            "stability_score_thresh": options["stability_score_thresh"],
            "stability_score_offset": options["stability_score_offset"],
            "crops_nms_thresh": options["box_nms_thresh"],
            "output_bboxes_mask": True,
        }

    def generate(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Masks and boxes; which point a mask answers is not told."""
        out = self._pipeline(Image.fromarray(image), **self._options)
        boxes = np.asarray(out["bounding_boxes"], np.int64)
        boxes[:, 2:] -= boxes[:, :2]
        return [
            {
                "segmentation": np.asarray(mask),
                "bbox": box.tolist(),
                "point_coords": [[float("nan")] * 2],
            }
            for mask, box in zip(out["masks"], boxes, strict=True)
        ]
