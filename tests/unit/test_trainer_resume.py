"""A run that was interrupted becomes the run that was not, bit by bit."""

import io

import pytest
import torch
from training import lesions, make_sam, run, same, small, timeless, weights

from napari_glmedsa.adapters import GLMedSAConfig
from napari_glmedsa.errors import TrainingError
from napari_glmedsa.inference import device
from napari_glmedsa.training.trainer import Trainer

RUNS = {
    "adapters": small(batch_size=1, policy="mixed", n_points=3),
    "decoder": small(batch_size=2, mask_decoder=True, optimizer="adam"),
    "full in bf16": small(batch_size=2, trains="full", precision="bf16"),
    "patience": small(batch_size=3, epochs=6, patience=1, learning_rate=1e-9),
}


def through_a_file(state: dict) -> dict:
    """Write and read a state as a run does: without pickled code."""
    stream = io.BytesIO()
    torch.save(state, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


@pytest.mark.parametrize("name", RUNS)
def test_going_on_from_any_event_gives_the_same_events_and_weights(name):
    config = RUNS[name]
    trainer, events, states = run(config)
    expected, best = weights(trainer), trainer.best_epoch
    trainer.best()
    kept = weights(trainer)
    assert len(states) == len(events)
    for done, state in enumerate(states, start=1):
        assert state["n_events"] == done
        again, rest, _ = run(config, state=through_a_file(state))
        assert [timeless(e) for e in rest] == [timeless(e) for e in events[done:]]
        assert same(weights(again), expected), f"interrupted after {events[done - 1]}"
        assert again.best_epoch == best
        again.best()
        assert same(weights(again), kept)


def test_a_state_taken_from_outside_at_an_event_is_as_good():
    config = small()
    expected, _, _ = run(config)
    trainer = Trainer(make_sam(), config, device="cpu")
    events = trainer.fit(lesions(range(3)), lesions(range(10, 12)))
    for _ in range(3):
        next(events)
    state = through_a_file(trainer.state_dict())
    events.close()
    again, _, _ = run(config, state=state)
    assert same(weights(again), weights(expected))


def test_an_economy_once_made_is_kept_after_going_on():
    config = small(batch_size=4)
    trainer = Trainer(make_sam(), config, device="cpu")
    trainer.economy.tighten()
    trainer.economy.tighten()
    trainer.economy.tighten()
    again = Trainer(make_sam(), config, device="cpu")
    again.load_state_dict(through_a_file(trainer.state_dict()))
    assert again.economy.micro_batch == 1
    assert again.economy.checkpointing


def test_a_run_goes_on_in_the_precision_it_began_with(monkeypatch):
    """Wherever it goes on: on another computer, automatic would be another one."""

    def with_bf16(times_faster):
        monkeypatch.setattr(device, "_has_bf16", lambda _: True)
        monkeypatch.setattr(device, "bf16_speed_up", lambda _: times_faster)

    config = small(precision="auto")
    with_bf16(2.0)
    trainer, _, states = run(config)
    assert trainer.precision == "bf16"
    with_bf16(0.6)
    assert Trainer(make_sam(), config, device="cpu").precision == "fp32"
    again, _, _ = run(config, state=through_a_file(states[1]))
    assert again.precision == "bf16"
    assert same(weights(again), weights(trainer))


def test_the_state_of_another_run_is_refused_with_one_sentence():
    _, _, states = run(small())
    state = states[2]
    other = GLMedSAConfig(sites=("mlp",))
    for config, change in (
        (small(seed=3), {}),
        (small(), {"weights": {}}),
        (small(), {"best_epoch": None, "optimizer": {}}),
        (small(adapter=other), {"config": small(adapter=other).to_json()}),
    ):
        trainer = Trainer(make_sam(), config, device="cpu")
        with pytest.raises(TrainingError, match="belongs to another run"):
            trainer.load_state_dict({**state, **change})
    missing = {name: value for name, value in state.items() if name != "step"}
    with pytest.raises(TrainingError, match="step"):
        Trainer(make_sam(), small(), device="cpu").load_state_dict(missing)
    with pytest.raises(TrainingError, match="not those the run began with"):
        run(small(), state=state, train=lesions(range(4)))
