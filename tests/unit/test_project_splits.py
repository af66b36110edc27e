import numpy as np
import pytest

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.project.groups import Groups
from napari_glmedsa.project.lookalikes import find_lookalikes, perceptual_hash
from napari_glmedsa.project.photographs import ImageRecord
from napari_glmedsa.project.splits import split_groups
from napari_glmedsa.samples import draw_lesion


def record(name, *, group=None, seed=None):
    image = np.zeros((20, 20, 3), np.uint8)
    if seed is not None:
        image = np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
    text = perceptual_hash(image)
    return ImageRecord(name, f"{name}.png", group, (20, 20), None, text)


def as_sets(groups):
    return {frozenset(group) for group in groups}


def test_one_group_trains_and_two_also_validate():
    assert split_groups([{"a", "b"}], {}) == {"a": "train", "b": "train"}
    assert sorted(split_groups([{"a"}, {"b"}], {}).values()) == ["train", "val"]


def test_what_is_new_in_a_divided_group_goes_furthest_from_training():
    splits = split_groups([{"a", "b", "c"}], {"a": "train", "b": "test"})
    assert splits == {"a": "train", "b": "test", "c": "test"}


def test_a_part_without_a_fraction_stays_empty():
    groups = [{str(number)} for number in range(20)]
    splits = split_groups(groups, {}, fractions=(0.8, 0.2, 0))
    assert sorted(splits.values()) == ["train"] * 16 + ["val"] * 4


def test_another_seed_deals_otherwise():
    groups = [{str(number)} for number in range(20)]
    assert split_groups(groups, {}, seed=0) != split_groups(groups, {}, seed=1)


@pytest.mark.parametrize(
    "fractions", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1), (1, 1)]
)
def test_fractions_that_say_nothing_are_refused(fractions):
    with pytest.raises(ProjectError, match="fractions"):
        split_groups([{"a"}], {}, fractions=fractions)


def test_groups_are_followed_from_image_to_image():
    records = [
        record("a", group="x"),
        record("b", group="x", seed=1),
        record("c", seed=1),
        record("d", group="y", seed=2),
    ]
    expected = {frozenset("abc"), frozenset("d")}
    groups = Groups()
    assert as_sets(groups.of(records[:2])) == {frozenset("ab")}
    assert as_sets(groups.of(records)) == expected
    assert as_sets(groups.of(records[1:])) == {frozenset("bc"), frozenset("d")}
    assert as_sets(groups.of(records)) == expected


def test_pictures_without_details_resemble_nothing():
    assert perceptual_hash(np.full((30, 40, 3), 200, np.uint8)) == ""
    assert not list(find_lookalikes({"a": ""}, {"b": "", "c": "not a hash"}))


def test_different_lesions_do_not_look_alike():
    hashes = {
        str(seed): perceptual_hash(draw_lesion(seed, (64, 64)).image)
        for seed in range(40)
    }
    assert not list(find_lookalikes(hashes, hashes))


def test_the_centre_of_a_wider_frame_is_recognised(lesion):
    height, width = lesion.mask.shape
    square = lesion.image[:, (width - height) // 2 : (width + height) // 2]
    hashes = {"frame": perceptual_hash(lesion.image)}
    found = find_lookalikes(hashes, {"square": perceptual_hash(square)})
    assert list(found) == [("frame", "square")]
