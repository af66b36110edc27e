"""The decoder prepared for one image answers as the plain one does."""

import itertools
from dataclasses import replace

import pytest
import torch
from segment_anything.modeling.common import MLPBlock
from tiny import TINY, randomise

from napari_glmedsa.adapters.compat import Compat
from napari_glmedsa.adapters.switches import apply_compat
from napari_glmedsa.errors import PromptError
from napari_glmedsa.inference import Predictor, Prompts, build_sam, decode_masks
from napari_glmedsa.inference.decode import chosen_scores
from napari_glmedsa.inference.prepared_decoder import PreparedDecoder

KINDS = [
    (n_points, box, mask)
    for n_points, box, mask in itertools.product(
        (0, 1, 4, 30), (False, True), (False, True)
    )
    if n_points or box or mask
]


def prompts(n_points, box, mask):
    generator = torch.Generator().manual_seed(n_points)
    points = 64 * torch.rand(1, n_points, 2, generator=generator)
    labels = torch.randint(0, 2, (1, n_points), generator=generator).float()
    return {
        "point_coords": points if n_points else None,
        "point_labels": labels if n_points else None,
        "boxes": torch.tensor([[3.0, 9.0, 40.0, 60.0]]) if box else None,
        "mask_input": torch.randn(1, 1, 16, 16, generator=generator) if mask else None,
    }


def decode(prepared, *prompts, multimask_output=False, **more):
    """Return logits and the guesses at their masks, as `decode_masks` does."""
    logits, scores = prepared.decode(
        *prompts, multimask_output=multimask_output, **more
    )
    assert scores.shape == (1, 4)
    return logits, chosen_scores(scores, multimask_output)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("multimask_output", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_every_kind_of_prompt_gets_the_answer_of_the_plain_decoder(
    tiny_sam, kind, multimask_output
):
    features = torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(1))
    prepared = PreparedDecoder(tiny_sam, features)
    stock = tiny_sam.mask_decoder
    for _ in range(2):  # a decoder that answered once answers again
        asked = prompts(*kind)
        found = decode(prepared, **asked, multimask_output=multimask_output)
        points = asked["point_coords"]
        sparse, dense = tiny_sam.prompt_encoder(
            None if points is None else (points, asked["point_labels"]),
            asked["boxes"],
            asked["mask_input"],
        )
        pe = tiny_sam.prompt_encoder.get_dense_pe()
        assert_same(found, stock(features, pe, sparse, dense, multimask_output))


@torch.inference_mode()
def test_a_grid_larger_than_one_part_of_the_upscaling_is_put_together_right():
    torch.manual_seed(0)
    sam = randomise(build_sam(replace(TINY, image_size=640)))
    features = torch.randn(1, 32, 40, 40)
    coords, labels = torch.tensor([[[90.0, 450.0]]]), torch.ones(1, 1)
    found = decode(PreparedDecoder(sam, features), coords, labels)
    assert_same(found, decode_masks(sam, features, coords, labels))


@torch.inference_mode()
def test_a_decoder_wired_in_another_way_is_run_as_it_is(tiny_sam):
    features = torch.randn(1, 32, 4, 4)
    coords, labels = torch.tensor([[[9.0, 25.0]]]), torch.ones(1, 1)
    as_sam = decode_masks(tiny_sam, features, coords, labels)
    apply_compat(tiny_sam, Compat(medsa_decoder=True, swap_xy=True))
    expected = decode_masks(tiny_sam, features, coords, labels)
    assert not torch.allclose(as_sam[0], expected[0])
    found = decode(PreparedDecoder(tiny_sam, features), coords, labels)
    assert_same(found, expected)


@torch.inference_mode()
def test_a_decoder_whose_layers_compute_something_else_is_run_as_it_is(tiny_sam):
    class Doubled(MLPBlock):
        def forward(self, x):
            return 2 * super().forward(x)

    features = torch.randn(1, 32, 4, 4)
    coords, labels = torch.tensor([[[9.0, 25.0]]]), torch.ones(1, 1)
    as_sam = decode_masks(tiny_sam, features, coords, labels)
    tiny_sam.mask_decoder.transformer.layers[1].mlp.__class__ = Doubled
    expected = decode_masks(tiny_sam, features, coords, labels)
    assert not torch.allclose(as_sam[0], expected[0])
    found = decode(PreparedDecoder(tiny_sam, features), coords, labels)
    assert_same(found, expected)


@torch.inference_mode()
def test_clicks_read_as_y_x_are_read_so_by_the_prepared_decoder(tiny_sam):
    apply_compat(tiny_sam, Compat(swap_xy=True))
    features = torch.randn(1, 32, 4, 4)
    coords, labels = torch.tensor([[[9.0, 45.0]]]), torch.ones(1, 1)
    found = decode(PreparedDecoder(tiny_sam, features), coords, labels)
    assert_same(found, decode_masks(tiny_sam, features, coords, labels))


@pytest.fixture
def two_threads():
    """Let PyTorch use two threads in this test."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("grid", "n_threads"), [(4, 1), (40, 2)])
def test_a_small_image_is_decoded_in_one_thread_and_a_large_one_in_all(
    two_threads, grid, n_threads
):
    sam = randomise(build_sam(replace(TINY, image_size=16 * grid)))
    prepared, seen = PreparedDecoder(sam, torch.zeros(1, 32, grid, grid)), []
    sam.mask_decoder.iou_prediction_head.register_forward_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    with torch.inference_mode():
        prepared.decode(torch.tensor([[[9.0, 25.0]]]), torch.ones(1, 1))
    assert seen == [n_threads]
    assert torch.get_num_threads() == 2


def test_a_decoding_that_fails_gives_the_threads_back(two_threads, tiny_sam):
    prepared = PreparedDecoder(tiny_sam, torch.zeros(1, 32, 4, 4))
    with pytest.raises(RuntimeError):
        prepared.decode(torch.zeros(1, 1, 3), torch.ones(1, 1))
    assert torch.get_num_threads() == 2


def test_nothing_to_decode_is_the_same_sentence(tiny_sam):
    with pytest.raises(PromptError, match="click or a box"):
        PreparedDecoder(tiny_sam, torch.zeros(1, 32, 4, 4)).decode()


def test_the_predictor_answers_for_the_image_it_is_asked_about(tiny_sam, image):
    predictor = Predictor(tiny_sam, fingerprint="a")
    here, there = predictor.encode(image), predictor.encode(image[::-1].copy())
    clicks = Prompts([[20.0, 30.0]], [1])
    predictor.prepare(here)
    for embedding in (here, there, here):
        fresh = Predictor(tiny_sam, fingerprint="a").predict(embedding, clicks)
        found = predictor.predict(embedding, clicks)
        assert torch.equal(found.low_res_logits, fresh.low_res_logits)
        assert found.embedding_key == embedding.key
    assert not torch.equal(
        predictor.predict(there, clicks).low_res_logits, found.low_res_logits
    )
