"""What a run will cost is said before it starts."""

import pytest
from runs import BASE, TINY_CONFIG

from napari_glmedsa.errors import DeviceError
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.training.estimate import RunEstimate, estimate_run, in_words

COUNTS = {"train": 4, "val": 2, "test": 5}


def test_a_run_is_estimated_on_the_device_that_will_compute(registry):
    for start in (BASE, ModelSpec("sam_tiny", "tiny_adapter")):
        found = estimate_run(registry, start, TINY_CONFIG, COUNTS, device="cpu")
        assert found.seconds > 0
        assert found.available_bytes > 0
        assert found.needed_bytes > 0
        assert "on cpu" in found.sentence()


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
