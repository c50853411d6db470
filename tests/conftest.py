"""Fixtures that many tests share."""

from __future__ import annotations

import os
import sys

# pytest-xdist runs a process per core; threads of torch and numba in each, and in the kernels they
# start, would only wait for one another. Before anything imports either.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault of the code: no example fails for the time it takes. The rest is
# Hypothesis's own profile, which is `ci` where the environment variable CI is set: the same
# examples each time.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What samlab and kernels keep for a user goes into a folder of each process of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMLAB_CACHE", str(tmp_path_factory.mktemp("samlab-cache")))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """torch's own generator begins anew, so that no test depends on which ones ran before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    """Begins anew for each test, for the same reason."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def vit_b():
    """The official vit_b architecture with seeded random weights."""
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    return sam_model_registry["vit_b"]().eval()


def build_mini_sam(img_size: int = 256):
    """A small model made of the official classes, with seeded weights that spread its answers."""
    from functools import partial

    import torch
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    grid = img_size // 16
    sam = Sam(
        ImageEncoderViT(
            img_size=img_size,
            depth=2,
            embed_dim=64,
            num_heads=2,
            window_size=7,
            global_attn_indexes=(1,),
            use_rel_pos=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        ),
        PromptEncoder(
            embed_dim=256,
            image_embedding_size=(grid, grid),
            input_image_size=(img_size, img_size),
            mask_in_chans=16,
        ),
        MaskDecoder(
            transformer_dim=256,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, num_heads=8, mlp_dim=256),
        ),
    ).eval()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_(std=0.3)
            elif name.endswith("bias"):
                parameter.normal_(std=0.05)
            elif "norm" in name:
                parameter.uniform_(0.5, 1.5)
        sam.mask_decoder.iou_prediction_head.layers[-1].bias += 0.8
        for head in sam.mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight *= 8
    return sam


@pytest.fixture(scope="session")
def make_mini_sam():
    """build_mini_sam, for tests that need one of their own."""
    return build_mini_sam


@pytest.fixture(scope="session")
def mini_sam():
    """See build_mini_sam; 256 pixels, 16 x 16 cells."""
    return build_mini_sam()


@pytest.fixture(autouse=True)
def progress_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--quiet` silences the process, which the next test is in as well."""
    monkeypatch.delenv("SAMLAB_PROGRESS", raising=False)
