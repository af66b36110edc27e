"""The convolutional stem, with and without its stages at stride 32."""

from dataclasses import replace

import torch

from napari_glmedsa.inference import SamArchitecture, build_sam
from napari_glmedsa.inference.stem import ConvStem

SHAPE = SamArchitecture(32, 2, 2, (1,), 64, 2, 32, 64, conv_stem=True)


def test_both_stems_make_one_token_per_16_pixels():
    image = torch.rand(1, 3, 96, 64)
    for n_stages in (5, 7):
        assert ConvStem(24, n_stages)(image).shape == (1, 6, 4, 24)


def test_the_number_of_stages_is_read_off_the_tensors():
    for n_stages in (5, 7):
        shape = replace(SHAPE, stem_stages=n_stages)
        tensors = build_sam(shape).state_dict()
        assert SamArchitecture.from_state_dict(tensors) == shape


def test_the_deep_stem_is_the_short_one_where_the_last_stages_count_nothing():
    short, deep = ConvStem(24, 5), ConvStem(24, 7)
    tensors = short.state_dict()
    width = tensors["project.weight"].shape[1]
    weight = torch.zeros_like(deep.project.weight)
    weight[:, :width] = tensors.pop("project.weight")
    deep.load_state_dict({**tensors, "project.weight": weight}, strict=False)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(deep(image), short(image))


def test_the_last_stages_reach_every_token():
    stem = ConvStem(24, 7)
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    stem(image).sum().backward()
    assert stem.stages[6][0].project.weight.grad.abs().sum() > 0
