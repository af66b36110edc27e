"""A tiny real SAM, a registry that holds it, and drawn lesions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from tiny import TINY, randomise, train_a_little

from napari_glmedsa.adapters import (
    AdapterCard,
    GLMedSAConfig,
    inject_adapters,
    remove_adapters,
    save_adapter,
)
from napari_glmedsa.inference import Predictor, build_sam
from napari_glmedsa.registry import ModelRegistry, write_base
from napari_glmedsa.samples import LesionSample, draw_lesion


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test out of the user's cache, and out of those of other tests."""
    monkeypatch.setenv(
        "NAPARI_GLMEDSA_CACHE", str(tmp_path.with_name(f"{tmp_path.name}-cache"))
    )


@pytest.fixture
def tiny_sam() -> Sam:
    """Real segment_anything classes at 64 px with seeded random weights."""
    torch.manual_seed(0)
    return randomise(build_sam(TINY))


@pytest.fixture
def predictor(tiny_sam: Sam) -> Predictor:
    return Predictor(tiny_sam, fingerprint="tiny")


@pytest.fixture
def registry(tmp_path: Path, tiny_sam: Sam) -> ModelRegistry:
    """A root with base ``sam_tiny`` and adapter ``tiny_adapter`` (not of tiny_sam)."""
    root = tmp_path / "registry"
    card = write_base(
        root / "base" / "sam_tiny",
        tiny_sam.state_dict(),
        description="Random weights for tests",
        licence="BSD-3",
    )
    config = GLMedSAConfig(bottleneck_ratio=0.25)
    inject_adapters(tiny_sam.image_encoder, config)
    train_a_little(tiny_sam)
    folder = root / "adapters" / "tiny_adapter"
    folder.mkdir(parents=True)
    save_adapter(
        folder / "adapter.safetensors",
        tiny_sam.image_encoder,
        AdapterCard("tiny_adapter", "sam_tiny", card.sha256, config),
    )
    remove_adapters(tiny_sam.image_encoder)
    return ModelRegistry(root)


@pytest.fixture
def lesion() -> LesionSample:
    """A drawn dermoscopy photograph with its exact mask."""
    return draw_lesion(seed=0, size=(96, 128))


@pytest.fixture
def image() -> NDArray[np.uint8]:
    """A colourful random landscape image, (48, 70, 3)."""
    return np.random.default_rng(0).integers(0, 256, (48, 70, 3), dtype=np.uint8)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=3,
        help="how often e2e/test_crash.py kills napari (3)",
    )
