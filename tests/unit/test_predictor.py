"""Parity with segment_anything on the same weights, and prompts that are refused.

P3: many prompts and many images at once. P5: the whole predictor.
"""

import copy
import time
from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.modeling import MaskDecoder, Sam
from tiny import TINY, randomise

from napari_glmedsa.errors import Cancelled, CheckpointError, DeviceError, PromptError
from napari_glmedsa.inference import (
    Predictor,
    Prompts,
    SamArchitecture,
    available_devices,
    build_sam,
    decode_masks,
    device,
    grid_attention,
    preprocess,
    resize_sam,
    resolve_device,
    resolve_precision,
)
from napari_glmedsa.inference.prompts import inside_image

SIZES = {
    "landscape": (48, 70),
    "portrait": (70, 48),
    "square": (64, 64),
    "large": (300, 211),
    "one pixel high": (1, 50),
    "one pixel wide": (50, 1),
    "one pixel": (1, 1),
}


def random_image(size: tuple[int, int]) -> NDArray[np.uint8]:
    rng = np.random.default_rng(sum(size))
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def prompt_sets(size: tuple[int, int]) -> dict[str, Prompts]:
    height, width = size
    rng = np.random.default_rng(4)
    corner = np.array([width - 1, height - 1])
    coords = rng.uniform(0, 1, (5, 2)) * corner
    box = np.array([0.0, 0.0, max(1.0, 0.6 * width), max(1.0, 0.7 * height)])
    mask = rng.normal(0, 4, (16, 16)).astype(np.float32)
    labels = np.array([1, 0, 1, 1, 0])
    return {
        "one click": Prompts(coords[:1], labels[:1]),
        "many clicks": Prompts(coords, labels),
        "box": Prompts(np.empty((0, 2)), np.empty(0), box=box),
        "box and clicks": Prompts(coords[:2], labels[:2], box=box),
        "mask alone": Prompts(np.empty((0, 2)), np.empty(0), mask_input=mask),
        "clicks and mask": Prompts(coords[:3], labels[:3], mask_input=mask),
        "everything": Prompts(coords, labels, box=box, mask_input=mask),
    }


def stock_answer(
    sam: Sam, image: NDArray[np.uint8], prompts: Prompts, multimask_output: bool
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float32]]:
    stock = SamPredictor(sam)
    stock.set_image(image)
    clicks = len(prompts.point_coords) > 0
    mask_input = None if prompts.mask_input is None else prompts.mask_input[None]
    return stock.predict(
        prompts.point_coords if clicks else None,
        prompts.point_labels if clicks else None,
        box=prompts.box,
        mask_input=mask_input,
        multimask_output=multimask_output,
    )


@pytest.mark.parametrize("multimask_output", [False, True])
@pytest.mark.parametrize("kind", list(prompt_sets((8, 8))))
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_the_answer_is_that_of_sam_predictor(tiny_sam, size, kind, multimask_output):
    image, prompts = random_image(size), prompt_sets(size)[kind]
    masks, ious, logits = stock_answer(tiny_sam, image, prompts, multimask_output)
    best = ious.argmax()
    predictor = Predictor(
        tiny_sam, fingerprint="tiny", multimask_output=multimask_output
    )
    prediction = predictor.predict(predictor.encode(image), prompts)
    ours = prediction.low_res_logits[0, 0].numpy()
    assert np.abs(ours - logits[best]).max() <= 1e-5 * np.abs(logits[best]).max()
    assert prediction.mask.shape == size
    # the logits agree to 1e-5: only a pixel that close to 0 may differ
    assert (prediction.mask != masks[best]).mean() < 1e-4
    assert prediction.iou_prediction == pytest.approx(ious[best], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("multimask_output", [False, True])
@pytest.mark.parametrize("kind", list(prompt_sets((8, 8))))
@pytest.mark.parametrize("is_stock", [True, False])
def test_sams_three_masks_are_the_candidates(
    tiny_sam, kind, multimask_output, is_stock
):
    size = SIZES["portrait"]
    image, prompts = random_image(size), prompt_sets(size)[kind]
    masks, ious, _ = stock_answer(tiny_sam, image, prompts, True)
    if not is_stock:  # a decoder that is run as it is
        tiny_sam.mask_decoder.__class__ = type("Own", (MaskDecoder,), {})
    predictor = Predictor(
        tiny_sam, fingerprint="tiny", multimask_output=multimask_output
    )
    prediction = predictor.predict(predictor.encode(image), prompts)
    assert prediction.candidates == pytest.approx(ious, rel=1e-4, abs=1e-6)
    for index, (mask, iou) in enumerate(zip(masks, ious, strict=True)):
        chosen = prediction.candidate(index)
        assert (chosen.mask != mask).mean() < 1e-4
        assert chosen.iou_prediction == pytest.approx(iou, rel=1e-4, abs=1e-6)
        assert chosen.prompts is prompts
        assert chosen.embedding_key == prediction.embedding_key
        assert chosen.candidates == pytest.approx(prediction.candidates)
    for wrong in (-1, 3):
        with pytest.raises(PromptError, match="proposed 3 masks"):
            prediction.candidate(wrong)


def test_an_image_so_thin_that_sam_fails_still_gets_a_mask(predictor):
    image = random_image((1, 5000))
    prediction = predictor.predict(
        predictor.encode(image), prompt_sets((1, 5000))["box"]
    )
    assert prediction.mask.shape == (1, 5000)


def test_a_batch_of_images_is_decoded_as_each_alone(tiny_sam):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(3, 32, 4, 4, generator=generator)
    coords = 64 * torch.rand(3, 2, 2, generator=generator)
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    together, ious = decode_masks(tiny_sam, embeddings, coords, labels)
    for index in range(3):
        one = slice(index, index + 1)
        alone, iou = decode_masks(tiny_sam, embeddings[one], coords[one], labels[one])
        torch.testing.assert_close(together[one], alone)
        torch.testing.assert_close(ious[one], iou)


@pytest.mark.parametrize("multimask_output", [False, True])
def test_boxes_and_mask_prompts_of_a_batch_stay_with_their_image(
    tiny_sam, multimask_output
):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(3, 32, 4, 4, generator=generator)
    corners = 32 * torch.rand(3, 2, generator=generator)
    boxes = torch.cat([corners, corners + 20], dim=1)
    masks = torch.randn(3, 1, 16, 16, generator=generator)

    def decode(which: slice) -> torch.Tensor:
        logits, _ = decode_masks(
            tiny_sam,
            embeddings[which],
            boxes=boxes[which],
            mask_input=masks[which],
            multimask_output=multimask_output,
        )
        return logits

    together = decode(slice(None))
    assert together.shape == (3, 3 if multimask_output else 1, 16, 16)
    for index in range(3):
        one = slice(index, index + 1)
        torch.testing.assert_close(together[one], decode(one))


def test_several_prompts_per_image_are_told_apart_by_their_index(tiny_sam):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(2, 32, 4, 4, generator=generator)
    coords = 64 * torch.rand(5, 1, 2, generator=generator)
    labels = torch.ones(5, 1)
    index = torch.tensor([0, 1, 1, 0, 1])
    logits, _ = decode_masks(
        tiny_sam, embeddings, coords, labels, image_index=index, multimask_output=True
    )
    assert logits.shape == (5, 3, 16, 16)
    for number, image in enumerate(index.tolist()):
        alone, _ = decode_masks(
            tiny_sam,
            embeddings[image : image + 1],
            coords[number : number + 1],
            labels[number : number + 1],
            multimask_output=True,
        )
        torch.testing.assert_close(logits[number : number + 1], alone)
    with pytest.raises(PromptError, match="image_index"):
        decode_masks(tiny_sam, embeddings, coords, labels)


def test_decoding_has_gradients_when_they_are_wanted(tiny_sam):
    embedding = torch.randn(1, 32, 4, 4, requires_grad=True)
    logits, _ = decode_masks(tiny_sam, embedding, torch.ones(1, 1, 2), torch.ones(1, 1))
    logits.sum().backward()
    assert embedding.grad.abs().max() > 0


def test_nothing_to_decode_is_a_sentence(tiny_sam, predictor, image):
    with pytest.raises(PromptError, match="click or a box"):
        decode_masks(tiny_sam, torch.zeros(1, 32, 4, 4))
    with pytest.raises(PromptError, match="click on the lesion"):
        predictor.predict(predictor.encode(image), Prompts.empty())


def test_an_image_reaches_half_a_pixel_around_its_outer_pixels(predictor, image):
    embedding = predictor.encode(image)
    for point in ((-0.5, -0.5), (69.49, 47.49), (69, 47)):
        predictor.predict(embedding, Prompts(np.array([point]), np.array([1])))
    points = np.array([[-0.5, -0.5], [69.49, 47.49], [-0.51, 0], [69.5, 0], [0, 47.5]])
    inside = inside_image(points, (48, 70))
    assert inside.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    "point",
    [(70, 5), (5, 48), (69.5, 5), (5, 47.5), (-1, 5), (5, -0.6), (1e9, 0)],
)
def test_a_click_outside_the_image_is_refused(predictor, image, point):
    embedding = predictor.encode(image)
    with pytest.raises(PromptError, match="outside the image, which is 70 pixels wide"):
        predictor.predict(embedding, Prompts(np.array([point]), np.array([1])))


def test_a_box_or_mask_prompt_that_does_not_fit_is_refused(predictor, image):
    embedding = predictor.encode(image)
    away = Prompts.empty().point_coords, Prompts.empty().point_labels
    for box in ([80, 0, 90, 9], [69.5, 0, 90, 9], [-9, -9, -0.5, 9]):
        with pytest.raises(PromptError, match="outside the image"):
            predictor.predict(embedding, Prompts(*away, box=np.array(box)))
    predictor.predict(embedding, Prompts(*away, box=np.array([-9, -9, 900, 900])))
    with pytest.raises(PromptError, match="16 x 16 logits, not 8 x 8"):
        predictor.predict(
            embedding, Prompts(*away, mask_input=np.zeros((8, 8), np.float32))
        )


@pytest.mark.parametrize(
    ("coords", "labels", "box"),
    [
        ([[1, 2, 3]], [1], None),
        ([[1, 2]], [1, 0], None),
        ([[1, 2]], [2], None),
        ([[np.nan, 2]], [1], None),
        ([["a", 2]], [1], None),
        ([[1, 2]], [1], [5, 0, 5, 9]),
        ([[1, 2]], [1], [5, 0, 9]),
        ([[1, 2]], [1], [0, 0, np.inf, 9]),
    ],
)
def test_prompts_without_meaning_are_refused(coords, labels, box):
    with pytest.raises(PromptError):
        Prompts(coords, labels, box=box)
    with pytest.raises(PromptError, match="two axes"):
        Prompts([[1, 2]], [1], mask_input=np.zeros(4))


def test_every_block_is_reported_and_the_report_may_cancel(predictor, image):
    steps = []
    predictor.encode(image, on_block=lambda done, depth: steps.append((done, depth)))
    assert steps == [(1, 3), (2, 3), (3, 3)]

    def stop(done: int, depth: int) -> None:
        steps.append((done, depth))
        raise Cancelled

    with pytest.raises(Cancelled):
        predictor.encode(image, on_block=stop)
    assert len(steps) == 4
    predictor.encode(image)
    assert len(steps) == 4  # no hook stays behind


@pytest.mark.parametrize("bands", [1, 4], ids=["a small image", "a large one"])
def test_an_encoding_can_be_ended_while_it_shrinks_and_within_every_block(
    predictor, image, bands, monkeypatch
):
    """A block of ViT-B takes most of a second: too long for a click to wait."""
    monkeypatch.setattr(preprocess, "_BAND", image.nbytes // bands)
    monkeypatch.setattr(grid_attention, "_CHUNK", 1)
    expected = predictor.encode(image).features
    blocks, looks = [], []
    predictor.encode(
        image,
        on_block=lambda done, _: blocks.append(done),
        check=lambda: looks.append(len(blocks)),
    )
    assert all(looks.count(block) > 10 for block in range(predictor.depth))
    for last in range(0, len(looks), 7):
        count = iter(range(last + 1))

        def end(count=count) -> None:
            if next(count) == last:  # noqa: B023
                raise Cancelled

        with pytest.raises(Cancelled):
            predictor.encode(image, check=end)
    assert torch.equal(predictor.encode(image).features, expected)  # nothing stays


def test_the_key_of_an_embedding_names_pixels_model_and_precision(tiny_sam, image):
    def key(fingerprint: str = "a", pixels=image, precision="fp32") -> str:
        predictor = Predictor(tiny_sam, fingerprint=fingerprint, precision=precision)
        return predictor.encode(pixels).key

    other = image.copy()
    other[0, 0, 0] ^= 1
    keys = {key(), key("b"), key(pixels=other), key(precision="bf16")}
    assert len(keys) == 4
    assert key() == key(pixels=np.asfortranarray(image))


def test_bfloat16_gives_nearly_the_same_embedding(tiny_sam, image):
    exact = Predictor(tiny_sam, fingerprint="a").encode(image).features
    rough = Predictor(tiny_sam, fingerprint="a", precision="bf16").encode(image)
    assert rough.features.dtype == torch.float32
    assert (rough.features - exact).norm() / exact.norm() < 2e-2
    with pytest.raises(ValueError, match="fp32, bf16 or fp16"):
        Predictor(tiny_sam, fingerprint="a", precision="int8")


def test_running_out_of_memory_is_one_sentence(predictor, image):
    def exhaust(*_: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    handle = predictor.sam.image_encoder.register_forward_pre_hook(exhaust)
    with pytest.raises(DeviceError, match="not enough memory"):
        predictor.encode(image)
    handle.remove()
    assert predictor.encode(image).original_size == (48, 70)


def test_the_architecture_is_read_off_the_weights(tiny_sam):
    assert SamArchitecture.from_state_dict(tiny_sam.state_dict()) == TINY
    rebuilt = build_sam(TINY, {k: v.half() for k, v in tiny_sam.state_dict().items()})
    assert rebuilt.pixel_mean.device.type == "cpu"
    assert next(rebuilt.parameters()).dtype == torch.float32
    with pytest.raises(CheckpointError, match="not the weights of a Segment Anything"):
        SamArchitecture.from_state_dict({"conv.weight": torch.zeros(1)})
    state = tiny_sam.state_dict()
    del state["mask_decoder.iou_token.weight"]
    with pytest.raises(CheckpointError, match=r"mask_decoder\.iou_token\.weight"):
        build_sam(TINY, state)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vit_b", (768, 12, 12, (2, 5, 8, 11))),
        ("vit_l", (1024, 24, 16, (5, 11, 17, 23))),
        ("vit_h", (1280, 32, 16, (7, 15, 23, 31))),
    ],
)
def test_official_checkpoints_are_recognised_by_their_tensors(name, fields):
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        official = sam_model_registry[name]().state_dict()
        shape = SamArchitecture.from_state_dict(official)
        ours = build_sam(shape).state_dict()
    assert shape == SamArchitecture(*fields)
    assert {k: v.shape for k, v in ours.items()} == {
        k: v.shape for k, v in official.items()
    }


def test_the_convolutional_stem_stands_in_for_patch_embed():
    shape = SamArchitecture(32, 2, 2, (1,), 64, 2, 32, 64, conv_stem=True)
    torch.manual_seed(0)
    sam = randomise(build_sam(shape))
    assert SamArchitecture.from_state_dict(sam.state_dict()) == shape
    assert sam.image_encoder.patch_embed(torch.zeros(2, 3, 64, 96)).shape == (
        2,
        4,
        6,
        32,
    )


def test_a_model_resized_for_another_input_keeps_all_but_its_positions(tiny_sam):
    larger = resize_sam(tiny_sam, 128)
    assert larger.image_encoder.img_size == 128
    assert larger.image_encoder(torch.zeros(1, 3, 128, 128)).shape == (1, 32, 8, 8)
    before, after = tiny_sam.state_dict(), larger.state_dict()
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {
        "image_encoder.pos_embed",
        "image_encoder.blocks.2.attn.rel_pos_h",
        "image_encoder.blocks.2.attn.rel_pos_w",
    }
    same = resize_sam(tiny_sam, 64).state_dict()
    assert all(torch.equal(same[name], before[name]) for name in before)


def test_only_devices_that_are_there_can_be_chosen():
    assert available_devices()[-1] == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == available_devices()[0]
    missing = next(d for d in ("mps", "cuda") if d not in available_devices())
    for name in (missing, "quantum", "cpu:x"):
        with pytest.raises(DeviceError, match="no device"):
            resolve_device(name)


@pytest.mark.parametrize(
    ("in_hardware", "times_faster", "expected"),
    [(True, 2.1, "bf16"), (True, 0.6, "fp32"), (True, 1.1, "fp32"), (False, 9, "fp32")],
)
def test_automatic_precision_is_bfloat16_where_that_is_clearly_faster(
    tiny_sam, image, monkeypatch, in_hardware, times_faster, expected
):
    monkeypatch.setattr(device, "bf16_speed_up", lambda _: times_faster)
    for name, answer in (
        ("_is_avx512_bf16_supported", in_hardware),
        ("_is_amx_tile_supported", False),
    ):
        monkeypatch.setattr(torch.cpu, name, partial(bool, answer), raising=False)
    assert resolve_precision("auto", torch.device("cpu")) == expected
    predictor = Predictor(tiny_sam, fingerprint="a", precision="auto")
    assert predictor.precision == expected
    exact = Predictor(tiny_sam, fingerprint="a", precision=expected)
    assert predictor.encode(image).key == exact.encode(image).key


def test_automatic_precision_is_exact_where_bfloat16_is_not_in_hardware(tiny_sam):
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    assert Predictor(tiny_sam, fingerprint="a").precision == "fp32"


def test_a_device_is_measured_once_and_the_quicker_of_two_types_is_found(monkeypatch):
    slow, calls = torch.float32, []

    def seconds(tokens, weight):
        assert tokens.dtype == weight.dtype
        calls.append(tokens.dtype)
        disturbed = len(calls) % 3 == 0  # by other programs, now and then
        return (3.0 if tokens.dtype == slow else 1.0) * (10 if disturbed else 1)

    monkeypatch.setattr(device, "_seconds", seconds)
    device.bf16_speed_up.cache_clear()
    try:
        cpu = torch.device("cpu")
        assert device.bf16_speed_up(cpu) == 3.0
        n_calls = len(calls)
        assert device.bf16_speed_up(cpu) == 3.0
        assert len(calls) == n_calls
        slow = torch.bfloat16
        device.bf16_speed_up.cache_clear()
        assert device.bf16_speed_up(cpu) == pytest.approx(1 / 3)
    finally:
        device.bf16_speed_up.cache_clear()


def test_measuring_a_device_takes_a_moment_and_gives_a_plausible_number():
    device.bf16_speed_up.cache_clear()
    start = time.process_time()
    assert 0.01 < device.bf16_speed_up(torch.device("cpu")) < 100
    assert time.process_time() - start < 5


def test_the_predictor_encodes_as_stock_sam_does(tiny_sam, image):
    stock = SamPredictor(copy.deepcopy(tiny_sam))
    stock.set_image(image)
    features = Predictor(tiny_sam, fingerprint="a").encode(image).features
    assert type(tiny_sam.image_encoder.blocks[0]).__name__ == "FusedBlock"
    distance = (features - stock.features).abs().max()
    assert distance <= 1e-5 * stock.features.abs().max()
