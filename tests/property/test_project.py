"""Whatever happens to a writer, a project stays whole; whatever comes, splits hold."""

import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_glmedsa.project import SPLITS, AnnotationProject, Provenance
from napari_glmedsa.project.lookalikes import find_lookalikes, perceptual_hash
from napari_glmedsa.project.splits import Deal, split_groups
from napari_glmedsa.samples import draw_lesion

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
REPLACES = 3  # of one annotation: new prompts beside, mask, prompts


class Killed(BaseException):
    """The process ends here: no handler runs, nothing is cleared away."""


@contextmanager
def killed_before(replace):
    """Let that many files be moved into place; die before the next one."""
    moved = 0
    move = Path.replace

    def count(path, target):
        nonlocal moved
        if moved == replace:
            raise Killed
        moved += 1
        return move(path, target)

    with (
        mock.patch.object(Path, "replace", count),
        mock.patch.object(Path, "unlink", return_value=None),
        suppress(Killed),
    ):
        yield


def save(project, image, number):
    label_map = np.zeros(PICTURE.shape[:2], np.uint16)
    label_map.flat[: number + 1] = 1
    project.save_annotation(image, label_map, [Provenance(annotator=str(number))])


def number_of(project, image):
    """Return the number saved; the mask and its prompts must agree on it."""
    number = int(project.mask(image).sum()) - 1
    assert [item.annotator for item in project.objects(image)] == [str(number)]
    return number


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, REPLACES), min_size=1, max_size=6))
def test_killing_a_save_leaves_the_former_or_the_new_annotation(kills):
    with tempfile.TemporaryDirectory() as folder:
        AnnotationProject.create(Path(folder))
        project = AnnotationProject.open(Path(folder))
        image = project.add_image(PICTURE, source="a.png")
        former = None
        for number, kill in enumerate(kills):
            finished = False
            with killed_before(kill):
                save(project, image, number)
                finished = True
            for reader in (project, AnnotationProject.open(Path(folder))):
                assert reader.check() == []
                found = number_of(reader, image) if reader.annotated() else None
                assert found == number or (found == former and not finished)
            former = found
        save(project, image, 99)
        assert number_of(project, image) == 99
        left = {path.name for path in Path(folder).rglob(".*") if path.name != ".lock"}
        assert not left


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2))
def test_killing_an_addition_leaves_no_half_an_image(kill):
    with tempfile.TemporaryDirectory() as folder:
        project = AnnotationProject.create(Path(folder))
        with killed_before(kill):
            project.add_image(PICTURE, source="a.png")
        assert len(project.images()) == (kill == 2)
        image = project.add_image(PICTURE, source="a.png")
        assert [record.id for record in project.images()] == [image]
        assert np.array_equal(project.image(image), PICTURE)
        assert project.check() == []


GROUP_SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=30)
SEEDS = st.integers(0, 2**32)
FRACTIONS = st.tuples(*[st.floats(0.05, 1)] * 3)


def groups_of(sizes):
    return [
        {f"{group:02}{image}" for image in range(size)}
        for group, size in enumerate(sizes)
    ]


@given(GROUP_SIZES, FRACTIONS, SEEDS, st.randoms())
def test_splits_are_the_same_in_every_order_and_cut_no_group(
    sizes, fractions, seed, random
):
    groups = groups_of(sizes)
    splits = split_groups(groups, {}, fractions=fractions, seed=seed)
    assert set(splits) == set().union(*groups)
    assert all(len({splits[image] for image in group}) == 1 for group in groups)
    assert len(set(splits.values())) == min(len(groups), len(SPLITS))
    shuffled = random.sample(groups, len(groups))
    assert split_groups(shuffled, {}, fractions=fractions, seed=seed) == splits


@given(GROUP_SIZES, st.integers(0, 30), SEEDS, FRACTIONS)
def test_what_has_a_split_keeps_it(sizes, first, seed, fractions):
    groups = groups_of(sizes)
    before = split_groups(groups[:first], {}, seed=1)
    after = split_groups(groups, before, fractions=fractions, seed=seed)
    assert before.items() <= after.items()
    assert all(len({after[image] for image in group}) == 1 for group in groups)
    if len(groups) >= 3:
        assert set(after.values()) == set(SPLITS) or len(groups) - first < 2


@given(GROUP_SIZES.filter(lambda sizes: len(sizes) >= 20))
def test_splits_come_near_their_fractions(sizes):
    splits = list(split_groups(groups_of(sizes), {}).values())
    for split, fraction in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        assert abs(splits.count(split) - fraction * len(splits)) <= max(sizes)


@given(
    st.dictionaries(st.text("0123456789abcdef", min_size=1), st.sampled_from(SPLITS)),
    SEEDS,
)
def test_a_deal_survives_its_file(splits, seed):
    deal = Deal(splits, (0.5, 0.25, 0.25), seed)
    assert Deal.from_json(deal.to_json()) == deal


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(64, 100), st.integers(64, 100))
def test_a_mirrored_and_an_enlarged_copy_look_like_the_picture(seed, height, width):
    picture = draw_lesion(seed, (height, width)).image
    copies = {
        "mirrored": perceptual_hash(picture[:, ::-1]),
        "enlarged": perceptual_hash(picture.repeat(2, axis=0).repeat(2, axis=1)),
    }
    found = find_lookalikes({"picture": perceptual_hash(picture)}, copies)
    assert sorted(copy for _, copy in found) == ["enlarged", "mirrored"]
