"""Whatever is done in whatever order: undo and redo lead to the same bytes."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_glmedsa.history import Document, Patch, Sheet, Step
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.project import AnnotationProject, Provenance

SIZE = (9, 13)
IMAGE = "0123456789abcdef"
LABELS = st.integers(0, 65535)
BOXES = st.tuples(
    st.integers(0, 9), st.integers(0, 9), st.integers(0, 13), st.integers(0, 13)
)
PAINTINGS = st.lists(st.tuples(BOXES, LABELS), min_size=1, max_size=4)
COORDINATES = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES, st.integers(0, 1)), max_size=4)


def logits(seed):
    return np.random.default_rng(seed).normal(size=(4, 4)).astype(np.float32)


@st.composite
def prompts(draw):
    points = draw(POINTS)
    seed = draw(st.none() | st.integers(0, 2))
    return Prompts(
        np.array([point[:2] for point in points], float).reshape(-1, 2),
        np.array([point[2] for point in points], np.int64),
        box=np.array([0.5, 1, 7, 8]) if draw(st.booleans()) else None,
        mask_input=None if seed is None else logits(seed),
    )


PROVENANCES = st.builds(
    Provenance,
    origin=st.sampled_from(["clicks", "import"]),
    point_coords=st.just(((1.5, 2.25),)),
    point_labels=st.sampled_from([(0,), (1,)]),
    model=st.text(max_size=3),
    hand_edited=st.booleans(),
)
SHEETS = st.builds(
    Sheet,
    prompts=prompts(),
    object_id=st.integers(1, 65535),
    objects=st.dictionaries(st.integers(1, 65535), PROVENANCES, max_size=3),
    choice=st.integers(0, 3),
)
DEEDS = st.one_of(
    st.tuples(st.just("record"), st.none() | SHEETS, st.none() | PAINTINGS),
    st.tuples(st.just("amend"), st.none() | SHEETS, st.none() | PAINTINGS),
    st.tuples(st.sampled_from(["undo", "redo"]), st.none(), st.none()),
)


def paint(label_map, paintings):
    for (top, bottom, left, right), label in paintings or ():
        label_map[top:bottom, left:right] = label


def do(document, deed):
    what, sheet, paintings = deed
    if what in ("undo", "redo"):
        getattr(document, what)()
        return
    paint(document.label_map, paintings)
    if what == "record":
        document.record("deed", sheet)
    else:
        document.amend(sheet, name="deed")


def state(document):
    arrays = {}
    sheet = document.sheet.to_json(arrays)
    packed = {key: array.tobytes() for key, array in arrays.items()}
    return document.label_map.tobytes(), sheet, packed


@settings(max_examples=150, deadline=None)
@given(st.lists(DEEDS, max_size=25), PAINTINGS)
def test_n_times_undo_and_n_times_redo_give_the_same_bytes(deeds, start):
    label_map = np.zeros(SIZE, np.uint16)
    paint(label_map, start)
    document = Document(label_map)
    first = state(document)
    for deed in deeds:
        do(document, deed)
    while document.redo():
        pass
    states = [state(document)]
    while document.undo():
        states.append(state(document))
    assert len(states) == len(document.history) + 1
    assert states[-1] == first
    while states:
        assert state(document) == states.pop()
        document.redo()
    assert document.redo() is None


@settings(max_examples=60, deadline=None)
@given(st.lists(DEEDS, max_size=15), st.integers(0, 20))
def test_a_journal_tells_what_was_done_also_when_it_is_cut_and_gone_on_with(deeds, at):
    with tempfile.TemporaryDirectory() as folder:
        project = AnnotationProject.create(Path(folder))
        document = Document(np.zeros(SIZE, np.uint16), journal=project.journal(IMAGE))
        for number, deed in enumerate(deeds):
            if number == at and project.journal(IMAGE).exists:  # killed, begun again
                journal = project.journal(IMAGE)
                found = journal.resume(SIZE)
                document = Document(
                    found.label_map,
                    found.sheet,
                    history=found.history,
                    journal=journal,
                )
            do(document, deed)
            if len(document.history):
                told = project.journal(IMAGE).read(SIZE)
                assert state(told) == state(document)
                assert told.history.position == document.history.position
                assert [step.to_bytes() for step in told.history.steps] == [
                    step.to_bytes() for step in document.history.steps
                ]


@given(PAINTINGS, PAINTINGS, BOXES)
def test_a_patch_is_what_changed_inside_the_box_and_is_read_back(start, change, box):
    before = np.zeros(SIZE, np.uint16)
    paint(before, start)
    after = before.copy()
    paint(after, change)
    top, bottom, left, right = box
    inside = np.zeros(SIZE, bool)
    inside[top:bottom, left:right] = True
    patch = Patch.between(before, after, box=np.s_[top:bottom, left:right])
    changed = inside & (before != after)
    assert (patch is not None) == changed.any()
    if patch is None:
        return
    rows, columns = np.nonzero(changed)
    assert patch.box == (
        slice(rows.min(), rows.max() + 1),
        slice(columns.min(), columns.max() + 1),
    )
    patch = Patch.from_bytes(patch.to_bytes())
    image = before.copy()
    patch.apply(image)
    assert np.array_equal(image, np.where(changed, after, before))
    patch.revert(image)
    assert np.array_equal(image, before)


@given(PAINTINGS, PAINTINGS, PAINTINGS)
def test_two_patches_in_one_are_the_two_after_each_other(start, first, second):
    maps = [np.zeros(SIZE, np.uint16)]
    for paintings in (start, first, second):
        maps.append(maps[-1].copy())
        paint(maps[-1], paintings)
    _, before, between, after = maps
    one, two = Patch.between(before, between), Patch.between(between, after)
    if one is None or two is None:
        return
    both = one.then(two)
    image = before.copy()
    if both is not None:
        both.apply(image)
    assert np.array_equal(image, after)
    if both is not None:
        both.revert(image)
    assert np.array_equal(image, before)


@given(SHEETS, SHEETS, st.text())
def test_a_step_is_read_back_as_it_was(before, after, name):
    label_map = np.zeros(SIZE, np.uint16)
    patch = Patch.between(label_map, np.eye(*SIZE, dtype=np.uint16))
    step = Step(name, before, after, patch)
    again = Step.from_bytes(step.to_bytes())
    assert again.to_bytes() == step.to_bytes()
    assert (again.name, again.patch) == (name, patch)
    for sheet, found in ((before, again.before), (after, again.after)):
        assert dict(found.objects) == dict(sheet.objects)
        assert (
            found.prompts.point_coords.tolist() == sheet.prompts.point_coords.tolist()
        )
        if sheet.prompts.mask_input is not None:
            assert np.array_equal(found.prompts.mask_input, sheet.prompts.mask_input)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_what_is_no_step_is_a_value_error(noise, at):
    data = bytearray(Step("brush", Sheet(), Sheet()).to_bytes())
    data[at : at + len(noise)] = noise
    try:
        Step.from_bytes(bytes(data))
    except ValueError:
        return
    Step.from_bytes(bytes(data)).to_bytes()  # noise may happen to be one
