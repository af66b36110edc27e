"""Weights files of any origin are read as plain tensors, or refused in one sentence."""

import warnings
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.inference import read_weights
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.store import ModelStore
from napari_glmedsa.tensors import write_safetensors

LAYER = "image_encoder.blocks.{}.mlp.lin1.weight"


@pytest.fixture
def state(tiny_sam):
    return {name: tensor.clone() for name, tensor in tiny_sam.state_dict().items()}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pth"


def take_in(file, tmp_path):
    """Return the tensors that are installed for `file`."""
    store = ModelStore(ModelRegistry(tmp_path / "models", []))
    return read_weights(store.add(file, model_type="other").path)


def test_a_bit_flipped_within_the_tensors_is_found(state, file, tmp_path):
    torch.save(state, file)
    data = bytearray(file.read_bytes())
    data[data.find(state[LAYER.format(0)].numpy().tobytes())] ^= 1
    file.write_bytes(data)
    with zipfile.ZipFile(file) as archive:  # the table of contents is whole
        assert "weights/data.pkl" in archive.namelist()
    with pytest.raises(CheckpointError, match=r"damaged.*get the file again"):
        read_weights(file)
    with pytest.raises(CheckpointError, match="damaged"):
        take_in(file, tmp_path)
    assert not list((tmp_path / "models").rglob("*.*"))


def test_tensors_of_any_memory_layout_are_taken_in(state, file, tmp_path):
    name, other = LAYER.format(0), LAYER.format(1)
    state[name] = state[name].t().contiguous().t()
    state[other] = state[name]
    assert not state[name].is_contiguous()
    torch.save(state, file)
    installed = take_in(file, tmp_path)
    assert all(torch.equal(installed[key], state[key]) for key in state)


@pytest.mark.parametrize(
    "odd", ["sparse", "meta", "quantised", "complex", "number for a name"]
)
def test_what_are_no_plain_tensors_is_one_sentence(state, file, tmp_path, odd):
    name = LAYER.format(0)
    tensor = state.pop(name)
    state |= {
        "sparse": {name: tensor.to_sparse()},
        "meta": {name: tensor.to("meta")},
        "quantised": {name: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)},
        "complex": {name: tensor.to(torch.complex64)},
        "number for a name": {7: tensor},
    }[odd]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(state, file)
        with pytest.raises(CheckpointError, match="something else"):
            read_weights(file)
        with pytest.raises(CheckpointError, match="something else"):
            take_in(file, tmp_path)


@pytest.mark.parametrize("shape", [(), (3,), (1, 3, 3)])
def test_positions_of_a_wrong_shape_are_one_sentence(state, file, tmp_path, shape):
    for name in ("image_encoder.pos_embed", "image_encoder.blocks.0.attn.rel_pos_h"):
        torch.save({**state, name: torch.zeros(shape)}, file)
        with pytest.raises(CheckpointError):
            take_in(file, tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_with_a_value_that_is_no_number_are_refused(
    state, tmp_path, bad, ending
):
    state[LAYER.format(1)][3, 4] = bad
    file = tmp_path / f"weights{ending}"
    (save_file if ending == ".safetensors" else torch.save)(state, file)
    with pytest.raises(CheckpointError, match=r"no numbers.*blocks\.1\.mlp\.lin1"):
        read_weights(file)
    with pytest.raises(CheckpointError, match="no numbers"):
        take_in(file, tmp_path)
    assert not list((tmp_path / "models").rglob("*.*"))


def test_half_floats_whose_sum_is_too_large_for_them_are_numbers(state, file):
    state[LAYER.format(0)] = torch.full((64, 64), 6e4).half()
    state[LAYER.format(1)] = torch.ones(8, 8).to(torch.float8_e4m3fn)
    torch.save(state, file)
    assert read_weights(file).keys() == state.keys()


def test_an_adapter_with_a_value_that_is_no_number_is_refused(registry, tmp_path):
    whole = registry.adapter_path("tiny_adapter")
    path = tmp_path / "broken.safetensors"
    tensors = load_file(whole)
    next(iter(tensors.values())).fill_(float("nan"))
    with safe_open(whole, "pt") as opened:
        write_safetensors(path, tensors, metadata=opened.metadata())
    before = registry.adapters()
    spec = ModelSpec("sam_tiny", str(path))
    with pytest.raises(CheckpointError, match="no numbers"):
        registry.load(spec, device=torch.device("cpu"))
    with pytest.raises(CheckpointError, match="no numbers"):
        registry.add_adapter(path, name="another")
    assert registry.adapters() == before
