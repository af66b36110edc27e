"""Stage by stage the numbers of segment_anything, on the same random weights.

P1: the encoder, at SAM's own window of 14 and on grids that it does not divide.
P2: the prompt encoder. P4: what happens to images before and to masks after.
"""

import itertools

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide
from tiny import randomise

from napari_glmedsa.inference import (
    Predictor,
    Prompts,
    SamArchitecture,
    build_sam,
    decode_masks,
    fuse_attention,
)
from napari_glmedsa.inference.preprocess import model_input

IMAGES = [(48, 70), (70, 48), (64, 64), (301, 200), (1, 50), (50, 1), (3, 200)]


def sam_like(image_size: int, width: int = 24) -> Sam:
    """SAM's structure and window at a small width: blocks 0 and 2 have windows."""
    torch.manual_seed(0)
    shape = SamArchitecture(width, 3, 2, (1,), image_size, 14, 16, 32)
    return randomise(build_sam(shape))


@pytest.mark.parametrize("image_size", [128, 208, 224, 256, 1024])
@torch.inference_mode()
def test_the_fast_encoder_is_the_stock_one_on_every_grid(image_size):
    """P1: grids of 8, 13, 14, 16 and 64 in windows of 14."""
    sam = sam_like(image_size)
    batch = torch.randn(1, 3, image_size, image_size)
    expected = sam.image_encoder(batch)
    fuse_attention(sam.image_encoder)
    result = sam.image_encoder(batch)
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


PROMPTS = [
    (n_points, box, mask)
    for n_points, box, mask in itertools.product(
        (0, 1, 3), (False, True), (False, True)
    )
    if n_points or box or mask
]


@pytest.mark.parametrize(("n_points", "box", "mask"), PROMPTS)
def test_prompts_reach_the_decoder_as_sam_encodes_them(tiny_sam, n_points, box, mask):
    """P2: points of all labels, box, mask, and any of them together; bit by bit."""
    generator = torch.Generator().manual_seed(5)
    coords = 64 * torch.rand(1, n_points, 2, generator=generator)
    labels = torch.tensor([[1, 0, -1][:n_points]])
    points = (coords, labels) if n_points else None
    boxes = torch.tensor([[3.0, 9.0, 40.0, 60.0]]) if box else None
    masks = torch.randn(1, 1, 16, 16, generator=generator) if mask else None
    sparse, dense = tiny_sam.prompt_encoder(points, boxes, masks)
    seen = {}

    def look(module, inputs):
        seen["image"], _, seen["tokens"] = inputs

    tiny_sam.mask_decoder.transformer.register_forward_pre_hook(look)
    image = torch.randn(1, 32, 4, 4, generator=generator)
    decode_masks(tiny_sam, image, *(points or ()), boxes=boxes, mask_input=masks)
    assert torch.equal(seen["tokens"][:, 5:], sparse)  # after the output tokens
    assert torch.equal(seen["image"], image + dense)


@pytest.mark.parametrize("size", IMAGES)
def test_images_are_resized_normalised_and_padded_as_sam_does(tiny_sam, size):
    """P4."""
    rng = np.random.default_rng(sum(size))
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    transform = ResizeLongestSide(64)
    expected_size = transform.get_preprocess_shape(*size, 64)
    tensor, input_size = model_input(tiny_sam, image)
    if 0 in expected_size:  # where SAM fails, one pixel is left
        assert input_size == tuple(max(1, side) for side in expected_size)
        return
    resized = torch.as_tensor(transform.apply_image(image)).permute(2, 0, 1)
    assert input_size == expected_size
    assert torch.equal(tensor[0], tiny_sam.preprocess(resized))


@pytest.mark.parametrize("size", IMAGES)
def test_logits_become_masks_as_sam_does(tiny_sam, size):
    """P4."""
    rng = np.random.default_rng(sum(size))
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    predictor = Predictor(tiny_sam, fingerprint="tiny")
    embedding = predictor.encode(image)
    prediction = predictor.predict(
        embedding, Prompts(np.array([[0.0, 0.0]]), np.array([1]))
    )
    full = tiny_sam.postprocess_masks(
        prediction.low_res_logits, embedding.input_size, size
    )
    assert np.array_equal(prediction.mask, (full[0, 0] > 0).numpy())
