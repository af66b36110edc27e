"""What a run will cost is said before it starts."""

from dataclasses import replace

import pytest
from runs import BASE, TINY_CONFIG

from napari_glmedsa.adapters import GLMedSAConfig
from napari_glmedsa.errors import DeviceError, TrainingError
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.training import memory
from napari_glmedsa.training.estimate import RunEstimate, estimate_run, in_words

COUNTS = {"train": 4, "val": 2, "test": 5}


def test_a_run_is_estimated_on_the_device_that_will_compute(registry):
    for start in (BASE, ModelSpec("sam_tiny", "tiny_adapter")):
        found = estimate_run(registry, start, TINY_CONFIG, COUNTS, device="cpu")
        assert found.seconds > 0
        assert found.available_bytes > 0
        assert found.needed_bytes > 0
        assert "on cpu" in found.sentence()


def test_a_run_that_would_not_fit_is_estimated_as_it_will_save(registry, monkeypatch):
    config = replace(TINY_CONFIG, batch_size=64)
    plenty = estimate_run(registry, BASE, config, COUNTS, device="cpu")
    assert not plenty.recomputes
    monkeypatch.setattr(memory, "available_bytes", lambda _: plenty.needed_bytes // 2)
    spared = estimate_run(registry, BASE, config, COUNTS, device="cpu")
    assert spared.recomputes
    assert spared.needed_bytes < plenty.needed_bytes
    assert "computed again instead of kept" in spared.sentence()
    config = replace(config, checkpointing="off")
    assert not estimate_run(registry, BASE, config, COUNTS, device="cpu").recomputes


def test_the_photographs_that_are_kept_are_counted_up_to_a_limit(registry):
    few, many, crowd = (
        estimate_run(registry, BASE, TINY_CONFIG, {"train": n}, device="cpu")
        for n in (1, 1001, 10**9)
    )
    assert many.needed_bytes - few.needed_bytes == 1000 * 64 * 64 * 5
    assert crowd.needed_bytes - few.needed_bytes < 2 * 2**31


def test_more_blocks_than_there_are_is_one_sentence(registry):
    shape = GLMedSAConfig(blocks="last:99")
    with pytest.raises(TrainingError, match="blocks only"):
        estimate_run(
            registry, BASE, replace(TINY_CONFIG, adapter=shape), COUNTS, device="cpu"
        )


def test_a_device_that_is_not_there_is_one_sentence(registry):
    with pytest.raises(DeviceError, match="abacus"):
        estimate_run(registry, BASE, TINY_CONFIG, COUNTS, device="abacus")


def test_times_are_said_as_people_say_them():
    words = [in_words(seconds) for seconds in (0.2, 59, 100, 3600, 9000)]
    assert words == ["1 s", "59 s", "2 min", "60 min", "2.5 h"]
    assert "about 2 min" in RunEstimate(100, 2**30, 2**31, "cpu").sentence()


def test_too_little_memory_is_said_with_what_to_do():
    assert RunEstimate(9, 2**30, 2**31, "cpu").sentence().endswith("2.0 GB are free.")
    assert "close other programs" in RunEstimate(9, 2**31, 2**30, "cpu").sentence()
