"""The trainer changes what it should and nothing else, and learns.

P9: only what is trained changes. P17: a few lesions are learnt by heart.
"""

import copy
import itertools

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam
from training import lesions, make_sam, run, same, small, steps, timeless, weights

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    adapter_state_dict,
    inject_adapters,
    iter_adapters,
    remove_adapters,
    tensors_sha256,
)
from napari_glmedsa.errors import AdapterMismatchError, TrainingError
from napari_glmedsa.inference.attention import unfuse_attention
from napari_glmedsa.training import economy
from napari_glmedsa.training.events import EpochEvent, NoticeEvent
from napari_glmedsa.training.presets import PRESETS
from napari_glmedsa.training.trainer import Trainer


def frozen_hash(trainer: Trainer) -> str:
    """Hash of all that is not trained."""
    return tensors_sha256(
        {
            name: tensor
            for name, tensor in trainer.sam.state_dict().items()
            if name.replace(".base_layer", "") not in trainer.trained
        }
    )


def bare_hash(sam: Sam) -> str:
    remove_adapters(sam.image_encoder)
    unfuse_attention(sam.image_encoder)
    return tensors_sha256(sam.state_dict())


def first_gradients(config, sam: Sam) -> tuple[Trainer, dict[str, torch.Tensor]]:
    """Gradients of the first step as the optimiser would see them."""
    trainer = Trainer(sam, config, device="cpu")
    train = lesions(range(4))
    assert trainer._gradients(train, train.ids, torch.zeros(4))
    return trainer, {n: p.grad.clone() for n, p in trainer.trained.items()}


def test_the_events_count_epochs_and_steps_and_name_every_image_once():
    _, events, _ = run(small(batch_size=2))
    assert [event.kind for event in events] == [
        *("epoch", "step", "step", "epoch", "step", "step", "epoch")
    ]
    assert [event.step for event in steps(events)] == [1, 2, 3, 4]
    for epoch in (1, 2):
        seen = [i for e in steps(events) if e.epoch == epoch for i in e.images]
        assert sorted(seen) == ["lesion-0", "lesion-1", "lesion-2"]
    epochs = [event for event in events if isinstance(event, EpochEvent)]
    assert [event.epoch for event in epochs] == [0, 1, 2]
    assert epochs[0].best


def test_training_leaves_every_bit_of_the_base_as_it_was():
    sam = make_sam()
    before = bare_hash(sam)
    trainer, _, _ = run(small(), sam=sam)
    assert any(np.abs(w).max() > 0 for n, w in weights(trainer).items() if "up" in n)
    assert bare_hash(sam) == before


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_what_it_names_and_freezes_the_rest(name):
    config = small(**{**unpacked(name), "epochs": 1, "precision": "fp32"})
    sam = make_sam()
    trainer = Trainer(sam, config, device="cpu")
    frozen, before = frozen_hash(trainer), weights(trainer)
    list(trainer.fit(lesions(range(3)), lesions(range(10, 11))))
    assert frozen_hash(trainer) == frozen
    assert not same(weights(trainer), before)
    names = set(trainer.trained)
    assert not any(n.startswith("prompt_encoder") for n in names)
    assert any(n.startswith("mask_decoder") for n in names) == config.trains_decoder
    assert any("adapter" in n for n in names) == (config.trains == "adapters")


def unpacked(name: str) -> dict:
    config = PRESETS[name].config
    return {field: getattr(config, field) for field in config.__dataclass_fields__}


def test_the_first_gradient_reaches_the_upper_layer_and_the_second_the_lower():
    sam = make_sam()
    config = small(max_gradient_norm=None, weight_decay=0.0)
    trainer, gradients = first_gradients(config, sam)
    for name, gradient in gradients.items():
        assert (gradient.abs().max() > 0) == (".up." in name), name
    for parameter in trainer.trained.values():
        parameter.data -= 0.1 * parameter.grad
    train = lesions(range(4))
    trainer._gradients(train, train.ids, torch.zeros(4))
    assert all(
        parameter.grad.abs().max() > 0
        for name, parameter in trainer.trained.items()
        if ".down." in name
    )


def test_only_the_last_blocks_have_adapters_when_asked_for():
    sam = make_sam()
    inject_adapters(sam.image_encoder, GLMedSAConfig(blocks="last:2"))
    sites = {name.split(".")[1] for name, _ in iter_adapters(sam.image_encoder)}
    assert sites == {"1", "2"}
    remove_adapters(sam.image_encoder)
    with pytest.raises(AdapterMismatchError, match="last:3 at most"):
        inject_adapters(sam.image_encoder, GLMedSAConfig(blocks="last:4"))
    with pytest.raises(AdapterMismatchError, match="last:3 at most"):
        Trainer(sam, small(adapter=GLMedSAConfig(blocks="last:9")), device="cpu")
    config = small(trains="full", adapter=GLMedSAConfig(blocks="last:1"))
    trained = Trainer(sam, config, device="cpu").trained
    encoder = {n.split(".")[2] for n in trained if "blocks" in n}
    assert encoder == {"2"}
    with pytest.raises(TrainingError, match="last:3 at most"):
        Trainer(
            make_sam(),
            small(trains="full", adapter=GLMedSAConfig(blocks="last:9")),
            device="cpu",
        )


def test_training_goes_on_with_the_adapters_that_are_there():
    sam = make_sam()
    config = GLMedSAConfig(sites=("mlp",), bottleneck_ratio=0.5)
    inject_adapters(sam.image_encoder, config)
    trainer = Trainer(sam, small(), device="cpu")
    assert {name.split(".")[3] for name in trainer.trained} == {"mlp"}
    assert len(trainer.trained) == len(adapter_state_dict(sam.image_encoder))
    with pytest.raises(TrainingError, match="without adapters"):
        Trainer(sam, small(trains="full"), device="cpu")


def test_the_same_seed_trains_the_same_weights_and_another_seed_others():
    first, *_ = run(small())
    again, *_ = run(small())
    other, *_ = run(small(seed=1))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


def test_neither_the_order_of_images_nor_the_state_of_torch_matters():
    first, events, _ = run(small())
    train = lesions(range(3))
    train.ids.reverse()
    torch.manual_seed(99)
    np.random.default_rng(99)
    again, others, _ = run(small(), train=train)
    assert [e.images for e in steps(events)] == [e.images for e in steps(others)]
    assert same(weights(first), weights(again))


@pytest.mark.parametrize("fields", [{}, {"mask_decoder": True}, {"trains": "full"}])
def test_checkpointing_changes_no_gradient(fields):
    _, kept = first_gradients(small(**fields, checkpointing="off"), make_sam())
    _, again = first_gradients(small(**fields, checkpointing="on"), make_sam())
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_pieces_of_a_step_add_up_to_the_whole():
    config = small(batch_size=4)
    _, whole = first_gradients(config, make_sam())
    _, pieces = first_gradients(small(batch_size=1, accumulation=4), make_sam())
    for name, gradient in whole.items():
        assert torch.allclose(gradient, pieces[name], atol=1e-6), name


def test_half_precision_stays_in_the_encoder():
    sam = make_sam()
    seen = []
    sam.image_encoder.neck.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    decoded = []
    sam.mask_decoder.transformer.register_forward_hook(
        lambda *a: decoded.append(a[2][0].dtype)
    )
    trainer, gradients = first_gradients(small(precision="bf16"), sam)
    assert set(decoded) == {torch.float32}
    assert all(g.dtype == torch.float32 for g in gradients.values())
    assert all(p.dtype == torch.float32 for p in trainer.trained.values())
    _, exact = first_gradients(small(), make_sam())
    norm = sum(float(g.norm()) ** 2 for g in exact.values()) ** 0.5
    away = sum(float((g - exact[n]).norm()) ** 2 for n, g in gradients.items()) ** 0.5
    assert 0 < away < 0.2 * norm


def test_four_drawn_lesions_are_learnt_by_heart():
    data = lesions(range(4), size=(128, 128))
    config = small(
        adapter=GLMedSAConfig(bottleneck_ratio=1.0),
        mask_decoder=True,
        n_points=1,
        epochs=28,
        batch_size=1,
        learning_rate=5e-3,
        decoder_learning_rate=5e-3,
        augmentation="none",
    )
    trainer, events, _ = run(config, sam=make_sam(size=128), train=data, val=data)
    assert events[0].val_dice < 0.6
    assert trainer.best_dice > 0.95


def test_training_stops_when_validation_is_not_getting_better():
    config = small(epochs=50, patience=3, learning_rate=1e-9)
    trainer, events, _ = run(config)
    assert trainer.epoch == trainer.best_epoch + 3
    assert events[-1].epoch == trainer.epoch < 50


def test_the_best_weights_come_back():
    config = small(epochs=3, learning_rate=0.5, max_gradient_norm=None)
    trainer, events, states = run(config)
    best = max(
        (e for e in events if isinstance(e, EpochEvent)),
        key=lambda e: (e.val_dice, -e.epoch),
    )
    assert trainer.best_epoch == best.epoch < 3
    at = next(s for e, s in zip(events, states, strict=True) if e == best)
    expected = {name: w.numpy() for name, w in at["weights"].items()}
    assert not same(weights(trainer), expected)
    trainer.best()
    assert same(weights(trainer), expected)


def fail_when(condition, error):
    """A hook that raises on the calls that `condition` picks, as memory does."""
    calls = []

    def hook(module, args):
        calls.append(len(args[0]))
        if torch.is_grad_enabled() and condition(len(args[0])):
            raise error

    return hook, calls


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_halves_the_images_and_repeats_the_step(error):
    config = small(batch_size=4)
    train = lesions(range(4))
    expected, events, _ = run(config, train=train)
    sam = make_sam()
    hook, _ = fail_when(lambda images: images > 1, error)
    sam.image_encoder.register_forward_pre_hook(hook)
    trainer, others, _ = run(config, sam=sam, train=train)
    notices = [e for e in others if isinstance(e, NoticeEvent)]
    assert [n.message.split("(")[1][0] for n in notices] == ["2", "1"]
    assert trainer.economy.micro_batch == 1
    assert [e.images for e in steps(others)] == [e.images for e in steps(events)]
    for name, weight in weights(expected).items():
        assert np.allclose(weights(trainer)[name], weight, atol=1e-4), name


def test_activations_are_computed_again_from_the_start_if_memory_is_short(monkeypatch):
    asked = []

    def is_short(sam, config, *, device):
        asked.append((sam, config, str(device)))
        return True

    expected, events, _ = run(small())
    monkeypatch.setattr(economy, "is_short", is_short)
    trainer, others, states = run(small())
    assert asked == [(trainer.sam, trainer.config, "cpu")]
    assert isinstance(others[0], NoticeEvent)
    assert "little free memory" in others[0].message
    assert states[0]["checkpointing"]
    assert [timeless(e) for e in others[1:]] == [timeless(e) for e in events]
    assert same(weights(trainer), weights(expected))
    _, again, _ = run(small(), state=states[0])
    assert [timeless(e) for e in again] == [timeless(e) for e in events]


@pytest.mark.parametrize("checkpointing", ["on", "off"])
def test_who_says_how_to_save_memory_is_not_overruled(monkeypatch, checkpointing):
    monkeypatch.setattr(economy, "is_short", lambda *_, **__: True)
    trainer, events, _ = run(small(epochs=1, checkpointing=checkpointing))
    assert not [e for e in events if isinstance(e, NoticeEvent)]
    assert trainer.economy.checkpointing == (checkpointing == "on")


def test_memory_for_not_even_one_image_ends_the_run_with_one_sentence():
    sam = make_sam()
    hook, _ = fail_when(lambda images: True, torch.OutOfMemoryError("out of memory"))
    sam.image_encoder.register_forward_pre_hook(hook)
    trainer = Trainer(sam, small(), device="cpu")
    before = weights(trainer)
    seen = []
    with pytest.raises(TrainingError, match="not enough memory"):
        seen.extend(trainer.fit(lesions(range(3)), lesions(range(10, 11))))
    assert same(weights(trainer), before)
    assert trainer.economy.checkpointing
    trainer.best()


def test_other_errors_are_not_taken_for_want_of_memory():
    sam = make_sam()
    hook, _ = fail_when(lambda images: True, RuntimeError("shapes differ"))
    sam.image_encoder.register_forward_pre_hook(hook)
    trainer = Trainer(sam, small(), device="cpu")
    with pytest.raises(RuntimeError, match="shapes differ"):
        list(trainer.fit(lesions(range(3)), lesions(range(10, 11))))


def test_a_loss_that_is_no_number_names_step_and_image_and_spoils_nothing():
    trainer = Trainer(make_sam(), small(batch_size=3), device="cpu")
    sound = trainer.loss
    calls = []

    def loss(logits, target):
        calls.append(len(logits))
        losses = sound(logits, target)
        if len(calls) > 2:  # two clicks in the first step were sound
            losses = losses * torch.tensor([1.0, float("nan"), 1.0])
        return losses

    trainer.loss = loss
    events = trainer.fit(lesions(range(3)), lesions(range(10, 11)))
    seen = list(itertools.islice(events, 3))
    assert [event.kind for event in seen] == ["epoch", "step", "epoch"]
    before = weights(trainer)
    with pytest.raises(TrainingError, match=r"step 2, image lesion-\d") as caught:
        next(events)
    assert same(weights(trainer), before)
    assert "\n" not in str(caught.value)
    trainer.best()
    assert all(np.isfinite(w).all() for w in weights(trainer).values())


def test_a_gradient_that_is_no_number_is_refused_too():
    trainer = Trainer(make_sam(), small(), device="cpu")
    name = next(iter(trainer.trained))
    trainer.trained[name].register_hook(lambda gradient: gradient * float("inf"))
    before = weights(trainer)
    with pytest.raises(TrainingError, match=r"gradient.*step 1, images lesion"):
        list(trainer.fit(lesions(range(3)), lesions(range(10, 11))))
    assert same(weights(trainer), before)


def test_nothing_to_learn_from_or_to_judge_by_is_said_before_anything_happens():
    trainer = Trainer(make_sam(), small(), device="cpu")
    with pytest.raises(TrainingError, match="accept some masks"):
        next(trainer.fit(lesions(range(0)), lesions(range(2))))
    with pytest.raises(TrainingError, match="at least one more"):
        next(trainer.fit(lesions(range(1)), lesions(range(0))))


def test_a_second_and_a_third_training_in_one_process_work():
    results = [weights(run(small(precision=p))[0]) for p in ("fp32", "bf16", "fp32")]
    assert same(results[0], results[2])
    assert not same(results[0], results[1])


def test_fitting_again_from_a_state_does_not_touch_the_state():
    _, _, states = run(small())
    middle = copy.deepcopy(states[2])
    run(small(), state=states[2])
    assert all(
        torch.equal(states[2]["weights"][n], w) for n, w in middle["weights"].items()
    )
    old, new = middle["optimizer"]["state"], states[2]["optimizer"]["state"]
    assert all(torch.equal(old[i]["exp_avg"], new[i]["exp_avg"]) for i in old)
