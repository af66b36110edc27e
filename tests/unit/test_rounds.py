"""The built-in adapter's recipe: its loss has the right gradients and goes down."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    freeze_all_but_adapters,
    inject_adapters,
)
from napari_glmedsa.samples import draw_lesion

RECIPE = Path(__file__).parents[2] / "models/adapters/glmedsa_vit_mini_isic"
sys.path.insert(0, str(RECIPE))  # where a program finds what stands beside it
try:
    from rounds import RoundPlan, mask_loss, train_rounds
finally:
    sys.path.remove(str(RECIPE))

PLANS = [
    RoundPlan(),
    RoundPlan(policy="corrective", feed_logits=True),
    RoundPlan(multimask_first=True),
    RoundPlan(start_with_box=True),
]


@pytest.fixture
def lesions(tiny_sam):
    drawn = [draw_lesion(seed=seed, size=(64, 64)) for seed in range(2)]
    images = [torch.from_numpy(lesion.image).permute(2, 0, 1) for lesion in drawn]
    batch = torch.stack([tiny_sam.preprocess(image) for image in images])
    return batch, np.stack([lesion.mask for lesion in drawn])


def test_a_certain_right_answer_costs_nothing_and_a_wrong_one_much():
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4] = 1
    right = mask_loss(20 * (2 * target - 1), target)
    wrong = mask_loss(-20 * (2 * target - 1), target)
    assert right.item() < 1e-6
    assert wrong.item() > 10


@pytest.mark.parametrize("plan", PLANS)
def test_gradients_reach_the_adapters_and_only_them(tiny_sam, lesions, plan):
    images, masks = lesions
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig())
    parameters = freeze_all_but_adapters(tiny_sam)
    loss, ious = train_rounds(
        tiny_sam,
        tiny_sam.image_encoder(images),
        masks,
        plan,
        np.random.default_rng(0),
    )
    loss.backward()
    assert len(ious) == plan.n_rounds
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in parameters)
    frozen = [p for p in tiny_sam.parameters() if not p.requires_grad]
    assert all(p.grad is None for p in frozen)


def test_the_same_seed_draws_the_same_clicks(tiny_sam, lesions):
    images, masks = lesions
    with torch.no_grad():
        embedding = tiny_sam.image_encoder(images)
        first, again, other = (
            train_rounds(
                tiny_sam, embedding, masks, PLANS[0], np.random.default_rng(seed)
            )[0]
            for seed in (0, 0, 1)
        )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_few_steps_on_two_lesions_lower_the_loss(tiny_sam, lesions):
    images, masks = lesions
    inject_adapters(tiny_sam.image_encoder, GLMedSAConfig(bottleneck_ratio=0.5))
    parameters = freeze_all_but_adapters(tiny_sam)
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    losses = []
    for _ in range(25):
        embedding = tiny_sam.image_encoder(images)
        loss, _ = train_rounds(
            tiny_sam, embedding, masks, RoundPlan(1), np.random.default_rng(0)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
