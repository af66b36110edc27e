"""Clicks during training follow the policy, and losses are what they are named.

P15: clicks are (x, y), and an object's do not depend on the batch it is in.
"""

import math

import numpy as np
import pytest
import torch
from training import make_sam, small

from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.simulation import ClickSimulator
from napari_glmedsa.training import prompting
from napari_glmedsa.training.draws import generator, shuffled
from napari_glmedsa.training.losses import low_res_target, mask_loss
from napari_glmedsa.training.parameters import learning_rate_share
from napari_glmedsa.training.prompting import ClickPlan, click_losses, draw_plan

LOSSES = ("bce", "dice_ce", "focal_dice")


@pytest.fixture
def logits():
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target(logits):
    return (logits + torch.randn(3, 1, 8, 8) > 0).float()


@pytest.fixture
def masks():
    return np.stack([draw_lesion(seed=s, size=(64, 64)).mask for s in range(3)])


def losses_of(masks, plans, loss=None, **options):
    sam = make_sam()
    images = torch.stack([torch.full((3, 64, 64), 30.0 * i) for i in range(len(masks))])
    return click_losses(
        sam,
        sam.image_encoder(images),
        masks,
        plans=plans,
        rngs=[generator(0, 1, str(i), "clicks") for i in range(len(masks))],
        loss=loss or mask_loss("bce"),
        **options,
    )


def test_cross_entropy_counts_lesion_pixels_twice():
    zeros, half = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    half[..., :2] = 1
    assert mask_loss("bce")(zeros, half).item() == pytest.approx(1.5 * math.log(2))


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_and_certain_answer_costs_nothing(name, target):
    loss = mask_loss(name)
    assert loss(40 * (2 * target - 1), target).max() < 1e-3
    assert loss(-40 * (2 * target - 1), target).min() > 0.5


@pytest.mark.parametrize("name", LOSSES)
def test_a_mask_is_judged_alone(name, logits, target):
    loss = mask_loss(name)
    together = loss(logits, target)
    alone = [loss(logits[i : i + 1], target[i : i + 1])[0] for i in range(3)]
    assert together.shape == (3,)
    assert torch.allclose(together, torch.stack(alone), atol=1e-6)


def test_the_dice_losses_are_those_of_monai(logits, target):
    from monai.losses.dice import DiceCELoss, DiceFocalLoss

    for name, reference in (("dice_ce", DiceCELoss), ("focal_dice", DiceFocalLoss)):
        expected = reference(sigmoid=True)(logits, target)
        assert mask_loss(name)(logits, target).mean().item() == pytest.approx(
            expected.item(), abs=1e-6
        )


def test_the_target_is_one_where_half_a_pixel_is_lesion():
    truth = torch.zeros(2, 8, 8, dtype=torch.bool)
    truth[0, :4, :2] = True  # exactly half of the left pixels of 4 x 4
    truth[0, :4, 4] = True  # a quarter of the next
    truth[1, 5, 5] = True  # a lesion of one pixel is not lost
    target = low_res_target(truth, torch.zeros(2, 1, 2, 2))
    assert target[0, 0].tolist() == [[1, 0], [0, 0]]
    assert target[1, 0].tolist() == [[0, 0], [0, 1]]


def test_policies_say_how_many_clicks_and_where():
    rng = np.random.default_rng(0)
    assert draw_plan(small(n_points=3), rng) == ClickPlan(3, "positive")
    assert draw_plan(small(n_points=1, policy="random"), rng) == ClickPlan(1, "random")
    mixed = {draw_plan(small(n_points=2, policy="mixed"), rng) for _ in range(60)}
    assert mixed == {
        ClickPlan(n, policy) for n in (1, 2) for policy in ("positive", "corrective")
    }


def test_random_clicks_fall_on_the_lesion_whatever_is_predicted():
    mask = np.zeros((20, 30), bool)
    mask[3:6, 20:25] = True  # a swap of x and y would leave it
    rng, simulator = np.random.default_rng(0), ClickSimulator("random")
    prompts = simulator.first(mask, rng)
    for _ in range(30):
        prompts = simulator.refine(prompts, mask, mask, rng)
    x, y = prompts.point_coords.astype(int).T
    assert mask[y, x].all()
    assert prompts.point_labels.all()
    assert len(set(zip(x, y, strict=True))) > 5


def test_clicks_are_shown_to_the_decoder_in_x_y_and_on_the_lesion(masks, monkeypatch):
    shown = []
    decode = prompting.decode_masks

    def watch(sam, embedding, coords, labels, **options):
        shown.append((coords.numpy().astype(int), labels.numpy(), options))
        return decode(sam, embedding, coords, labels, **options)

    monkeypatch.setattr(prompting, "decode_masks", watch)
    plans = [ClickPlan(3, "random"), ClickPlan(1, "positive"), ClickPlan(2, "random")]
    losses_of(masks, plans)
    assert [coords.shape[1] for coords, *_ in shown] == [1, 2, 3]
    assert [o["image_index"].tolist() for *_, o in shown] == [[0, 1, 2], [0, 2], [0]]
    for coords, labels, options in shown:
        for points, index in zip(coords, options["image_index"].tolist(), strict=True):
            assert masks[index][points[:, 1], points[:, 0]].all()
        assert labels.all()


def test_the_loss_of_an_object_does_not_depend_on_its_neighbours(masks):
    plans = [ClickPlan(3, "positive"), ClickPlan(1, "positive"), ClickPlan(2, "random")]
    together = losses_of(masks, plans)
    alone = losses_of(masks[:1], plans[:1])
    assert together[0].item() == pytest.approx(alone[0].item(), abs=1e-5)


def test_every_answer_counts_the_same(masks):
    answers = []

    def loss(logits, target):
        answers.append(float(len(answers) + 1))
        return logits.sum((1, 2, 3)) * 0 + answers[-1]

    plans = [ClickPlan(3, "positive"), ClickPlan(1, "positive"), ClickPlan(2, "random")]
    assert losses_of(masks, plans, loss).tolist() == [2.0, 1.0, 1.5]


def test_the_iou_head_learns_only_when_asked_to(masks):
    sam = make_sam()
    plans, rng = [ClickPlan(1, "positive")] * 3, np.random.default_rng(0)
    head = sam.mask_decoder.iou_prediction_head.layers[-1].bias
    for asked in (False, True):
        head.grad = None
        loss = click_losses(
            sam,
            torch.zeros(3, 32, 4, 4),
            masks,
            plans=plans,
            rngs=[rng] * 3,
            loss=mask_loss("dice_ce"),
            iou_head=asked,
        )
        loss.sum().backward()
        assert (head.grad is not None and bool(head.grad.abs().max() > 0)) == asked


def test_draws_depend_on_every_argument_and_on_nothing_else():
    def draw(*args):
        return generator(*args).integers(2**60)

    first = draw(0, 1, "a", "clicks")
    assert draw(0, 1, "a", "clicks") == first
    others = [(1, 1, "a", "clicks"), (0, 2, "a", "clicks")]
    others += [(0, 1, "b", "clicks"), (0, 1, "a", "object")]
    assert first not in [draw(*args) for args in others]


def test_the_order_of_an_epoch_is_shuffled_the_same_way_always():
    names = [f"image-{i}" for i in range(20)]
    order = shuffled(names, seed=0, epoch=1)
    assert sorted(order) == sorted(names)
    assert order == shuffled(names[::-1], seed=0, epoch=1)
    assert order != shuffled(names, seed=0, epoch=2)
    assert order != shuffled(names, seed=1, epoch=1)


def test_the_learning_rate_warms_up_and_sinks_along_a_cosine():
    shares = [learning_rate_share(small(), step, 100) for step in range(100)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert 0.01 <= shares[-1] < 0.02
    constant = small(schedule="constant")
    assert {learning_rate_share(constant, step, 9) for step in range(9)} == {1.0}
    assert learning_rate_share(small(), 0, 1) == 1.0
