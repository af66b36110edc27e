"""P6: the official sizes have the official names, and the parts their exact counts.

P8: Table I's trainable parameters on each of them.
"""

import itertools
import re

import pytest
import torch
from segment_anything import sam_model_registry

from napari_glmedsa.adapters import (
    GLMedSAConfig,
    freeze_all_but_adapters,
    inject_adapters,
)
from napari_glmedsa.inference import SamArchitecture, build_sam

SHAPES = {
    "vit_b": SamArchitecture(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": SamArchitecture(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": SamArchitecture(1280, 32, 16, (7, 15, 23, 31)),
}
TENSORS = {"vit_b": 314, "vit_l": 482, "vit_h": 594}
TOTALS = {"vit_b": 93_735_472, "vit_l": 312_342_832, "vit_h": 641_090_608}
PARTS = {
    "image_encoder.": (89_670_912, 308_278_272, 637_026_048),
    "image_encoder.patch_embed.": (590_592, 787_456, 984_320),
    "image_encoder.pos_embed": (3_145_728, 4_194_304, 5_242_880),
    "image_encoder.blocks.": (85_147_136, 302_443_520, 629_880_320),
    "image_encoder.blocks.0.": (7_091_328, 12_599_680, 19_681_760),
    "image_encoder.neck.": (787_456, 852_992, 918_528),
    "prompt_encoder.": (6_220,) * 3,
    "mask_decoder.": (4_058_340,) * 3,
    "mask_decoder.transformer.": (3_291_264,) * 3,
    "mask_decoder.output_upscaling.": (73_952,) * 3,
    "mask_decoder.output_hypernetworks_mlps.": (559_232,) * 3,
    "mask_decoder.iou_prediction_head.": (132_612,) * 3,
    "mask_decoder.iou_token.": (256,) * 3,
    "mask_decoder.mask_tokens.": (1_024,) * 3,
}
GLOBAL_BLOCKS = {"vit_b": 7_104_128, "vit_l": 12_612_480, "vit_h": 19_697_760}
TABLES = {"vit_b": 92_672, "vit_l": 134_144, "vit_h": 202_240}
ADAPTERS = {
    ("block",): (894_528, 3_171_840, 6_597_120),
    ("attn", "mlp"): (1_789_056, 6_343_680, 13_194_240),
    ("attn", "mlp", "block"): (2_683_584, 9_515_520, 19_791_360),
}


def product(pattern, *choices):
    """Fill the braces of a pattern with every combination of choices."""
    return {pattern.format(*chosen) for chosen in itertools.product(*choices)}


def official_keys(depth):
    """The key patterns of the official checkpoints, written out."""
    both, blocks = ("weight", "bias"), range(depth)
    encoder = "image_encoder."
    decoder = "mask_decoder."
    layer = f"{decoder}transformer.layers.{{}}."
    attentions = (
        *("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"),
    )
    return set().union(
        {f"{encoder}pos_embed"},
        product(f"{encoder}patch_embed.proj.{{}}", both),
        product(f"{encoder}blocks.{{}}.norm{{}}.{{}}", blocks, (1, 2), both),
        product(f"{encoder}blocks.{{}}.attn.rel_pos_{{}}", blocks, "hw"),
        product(f"{encoder}blocks.{{}}.attn.{{}}.{{}}", blocks, ("qkv", "proj"), both),
        product(f"{encoder}blocks.{{}}.mlp.lin{{}}.{{}}", blocks, (1, 2), both),
        product(f"{encoder}neck.{{}}.weight", (0, 1, 2, 3)),
        product(f"{encoder}neck.{{}}.bias", (1, 3)),
        {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"},
        product("prompt_encoder.point_embeddings.{}.weight", range(4)),
        product("prompt_encoder.{}.weight", ("not_a_point_embed", "no_mask_embed")),
        product("prompt_encoder.mask_downscaling.{}.{}", (0, 1, 3, 4, 6), both),
        product(layer + "{}.{}_proj.{}", (0, 1), attentions, "qkv", both),
        product(layer + "{}.out_proj.{}", (0, 1), attentions, both),
        product(layer + "norm{}.{}", (0, 1), (1, 2, 3, 4), both),
        product(layer + "mlp.lin{}.{}", (0, 1), (1, 2), both),
        product(
            f"{decoder}transformer.final_attn_token_to_image.{{}}_proj.{{}}",
            ("q", "k", "v", "out"),
            both,
        ),
        product(f"{decoder}transformer.norm_final_attn.{{}}", both),
        product(f"{decoder}{{}}.weight", ("iou_token", "mask_tokens")),
        product(f"{decoder}output_upscaling.{{}}.{{}}", (0, 1, 3), both),
        product(
            f"{decoder}output_hypernetworks_mlps.{{}}.layers.{{}}.{{}}",
            range(4),
            range(3),
            both,
        ),
        product(f"{decoder}iou_prediction_head.layers.{{}}.{{}}", range(3), both),
    )


@pytest.fixture(scope="module", params=SHAPES)
def official(request):
    """A size's name and its model, without weights."""
    with torch.device("meta"):
        return request.param, build_sam(SHAPES[request.param])


def test_the_names_are_those_of_the_official_checkpoints(official):
    name, sam = official
    state = sam.state_dict()
    assert set(state) == official_keys(SHAPES[name].depth)
    assert len(state) == TENSORS[name]


def test_the_shapes_are_those_of_segment_anything(official):
    name, sam = official
    with torch.device("meta"):
        stock = sam_model_registry[name]().state_dict()
    ours = sam.state_dict()
    assert {key: t.shape for key, t in ours.items()} == {
        key: t.shape for key, t in stock.items()
    }
    assert SamArchitecture.from_state_dict(stock) == SHAPES[name]


def test_the_parts_have_their_exact_counts(official):
    name, sam = official
    column = list(SHAPES).index(name)
    # the positional matrix of the prompt encoder is a buffer
    sizes = {key: parameter.numel() for key, parameter in sam.named_parameters()}
    buffers = {key: t.numel() for key, t in sam.state_dict().items()}
    assert sum(sizes.values()) == TOTALS[name]
    for part, counts in PARTS.items():
        found = sum(n for key, n in sizes.items() if key.startswith(part))
        assert found == counts[column], part
    last = f"image_encoder.blocks.{SHAPES[name].depth - 1}."
    assert sum(n for k, n in sizes.items() if k.startswith(last)) == GLOBAL_BLOCKS[name]
    assert sum(n for key, n in sizes.items() if ".rel_pos_" in key) == TABLES[name]
    assert buffers.keys() - sizes.keys() == {
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    }


@pytest.mark.parametrize("sites", ADAPTERS, ids="+".join)
def test_the_adapters_have_the_counts_of_table_one(sites):
    """P8; on ViT-H the paper prints 13 and 20 M."""
    for column, shape in enumerate(SHAPES.values()):
        with torch.device("meta"):
            sam = build_sam(shape)
            inject_adapters(sam.image_encoder, GLMedSAConfig(sites=sites))
        trained = sum(p.numel() for p in freeze_all_but_adapters(sam))
        assert trained == ADAPTERS[sites][column]
        assert trained == sum(p.numel() for p in sam.parameters() if p.requires_grad)


def test_the_release_has_four_times_as_many_as_it_prints():
    with torch.device("meta"):
        sam = build_sam(SHAPES["vit_h"])
        inject_adapters(sam.image_encoder, GLMedSAConfig.preset("medsa-2024-06"))
    assert sum(p.numel() for p in freeze_all_but_adapters(sam)) == 52_531_200


def test_vit_b_with_seeded_weights_is_read_as_what_it_is():
    """The real size with real numbers: built, named, and told from its tensors."""
    torch.manual_seed(0)
    sam = build_sam(SHAPES["vit_b"])
    state = sam.state_dict()
    again = build_sam(SamArchitecture.from_state_dict(state), state)
    assert all(
        theirs.data_ptr() == ours.data_ptr()  # taken over, not copied
        for theirs, ours in zip(sam.parameters(), again.parameters(), strict=True)
    )
    assert not any(re.search("base_layer|adapter", name) for name in state)
