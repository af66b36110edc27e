"""Two processes train what one process trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from training import lesions, run, small, steps, weights

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from training import make_sam, run, small, lesions, weights
from napari_glmedsa.errors import TrainingError
trainer, events, _ = run(
    small(batch_size=4, n_points=3, policy="mixed"),
    train=lesions(range(5)), val=lesions(range(10, 13)),
)
assert trainer.processes.count == 2
rank = trainer.processes.share([0, 1])[0]
folder = Path(sys.argv[1])
np.savez(folder / f"{rank}.npz", **weights(trainer))
(folder / f"{rank}.json").write_text(json.dumps([e.to_json() for e in events]))

def fails_once(module, images):
    if rank == 1 and torch.is_grad_enabled() and not spared:
        spared.append(True)
        raise MemoryError

def fails_always(name):
    if rank == 1 and name == "lesion-1":
        raise OSError("gone")
    return whole(name)

spared, sam = [], make_sam()
sam.image_encoder.blocks[0].register_forward_pre_hook(fails_once)
_, events, _ = run(small(batch_size=4, epochs=1), sam=sam, train=lesions(range(4)))
kinds = [e.kind for e in events]
broken = lesions(range(4))
whole, broken.read = broken.read, fails_always
said = ""
try:
    run(small(batch_size=4, epochs=1), train=broken)
except TrainingError as error:
    said = str(error)
(folder / f"trouble-{rank}.json").write_text(json.dumps([kinds, said]))
trainer.processes.close()
"""

LEAVING = """
from pathlib import Path
import torch
from napari_glmedsa.training.processes import Processes
processes = Processes()
assert processes.tell("a word") == "a word"
assert torch.distributed.is_initialized()
import torch.distributed.nn.functional  # as others import it at some time
processes.close()
assert not torch.distributed.is_initialized()
tasks = Path("/proc/self/task").glob("*/comm")
assert not [name for task in tasks if "gloo" in (name := task.read_text())]
"""


def in_two_processes(script: Path, *arguments: str) -> None:
    """Run a script as two processes that know of one another."""
    tests = Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--local-addr", "127.0.0.1", "--nproc-per-node", "2"),
        *(str(script), *arguments),
    ]
    environment = {**os.environ, "PYTHONPATH": path, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_processes_that_leave_end_the_threads_that_would_outlive_python(
    tmp_path: Path,
):
    script = tmp_path / "leave.py"
    script.write_text(LEAVING)
    in_two_processes(script)


def test_two_processes_give_the_result_of_one(tmp_path: Path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    in_two_processes(script, str(tmp_path))

    alone, events, _ = run(
        small(batch_size=4, n_points=3, policy="mixed"),
        train=lesions(range(5)),
        val=lesions(range(10, 13)),
    )
    expected = weights(alone)
    for rank in (0, 1):
        found = np.load(tmp_path / f"{rank}.npz")
        assert set(found.files) == set(expected)
        for name, weight in expected.items():
            assert np.abs(found[name] - weight).max() < 1e-5, name
        told = json.loads((tmp_path / f"{rank}.json").read_text())
        assert [e["kind"] for e in told] == [e.kind for e in events]
        own = [e for e in told if e["kind"] == "step"]
        for one, other in zip(steps(events), own, strict=True):
            assert list(one.images) == other["images"]
            assert abs(one.loss - other["loss"]) < 1e-5
        for epoch in (1, 2):
            seen = [i for e in own if e["epoch"] == epoch for i in e["images"]]
            assert sorted(seen) == [f"lesion-{i}" for i in range(5)]
        for one, other in zip(events, told, strict=True):
            if one.kind == "epoch":
                assert abs(one.val_dice - other["val_dice"]) < 1e-5
        kinds, said = json.loads((tmp_path / f"trouble-{rank}.json").read_text())
        # what one runs out of, all do with less of; what one misses, all say
        assert kinds == ["epoch", "notice", "step", "epoch"]
        assert said.startswith("Image lesion-1 cannot be read any more")
