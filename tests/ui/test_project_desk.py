import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.ui.accepted import AcceptedObject, AcceptedObjects
from napari_glmedsa.ui.photograph import Bookmarks, Photograph
from napari_glmedsa.ui.project_desk import ProjectDesk

pytestmark = pytest.mark.ui

SIZE = (48, 64)


@pytest.fixture
def photo():
    return draw_lesion(size=SIZE).image


@pytest.fixture
def project(tmp_path) -> AnnotationProject:
    return AnnotationProject.create(tmp_path / "project")


@pytest.fixture
def desk(project) -> ProjectDesk:
    return ProjectDesk(project.root)


def square(top, left, side=10):
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


class Screen:
    """What a user sees of one photograph: labelled squares."""

    def __init__(self, pixels) -> None:
        self.pixels = pixels
        self.label_map = np.zeros(SIZE, dtype=np.uint16)
        self.known: dict[int, AcceptedObject] = {}
        self.in_the_making = 1
        self.bookmarks = Bookmarks()

    def accept(self, mask, label=None, **provenance) -> None:
        label = label or self.in_the_making
        self.label_map[mask] = label
        self.known[label] = AcceptedObject.cut_out(mask, Provenance(**provenance))
        self.in_the_making = max(label, self.in_the_making) + 1

    def photograph(self) -> Photograph:
        accepted = AcceptedObjects(
            self.label_map.copy(), self.in_the_making, dict(self.known), "Ada"
        )
        return Photograph(self.pixels, "photo.jpg", accepted, self.bookmarks)


@pytest.fixture
def screen(photo) -> Screen:
    return Screen(photo)


@pytest.fixture
def later(desk, screen, photo) -> Screen:
    """A new screen with a photograph of which one object is in the project."""
    screen.accept(square(2, 3), model="earlier")
    desk.save(screen.photograph())
    return Screen(photo)


def only_image(project) -> str:
    (image,) = project.annotated()
    return image


def masks(project) -> list[np.ndarray]:
    image = only_image(project)
    return [project.mask(image, label) for label in project.labels(image)]


def same(found, *expected) -> bool:
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def test_a_saved_photograph_is_in_the_project_with_masks_and_provenance(
    desk, project, screen, photo
):
    screen.accept(square(2, 3), model="a", created="2026-01-01T00:00:00+00:00")
    screen.accept(
        square(30, 40), model="b", point_coords=((44.0, 33.5),), point_labels=(1,)
    )
    entry = desk.save(screen.photograph())
    assert (entry.name, entry.n_annotated, entry.missing) == ("project", 1, ())
    image = only_image(project)
    assert np.array_equal(project.image(image), photo)
    assert project.images()[0].source == "photo.jpg"
    assert same(masks(project), square(2, 3), square(30, 40))
    first, second = project.objects(image)
    assert (first.model, first.created) == ("a", "2026-01-01T00:00:00+00:00")
    assert (second.model, second.point_coords) == ("b", ((44.0, 33.5),))
    assert not first.hand_edited
    assert not second.hand_edited


def test_labels_have_no_gaps_in_the_project(desk, project, screen):
    screen.accept(square(2, 3), label=3, model="three")
    screen.accept(square(30, 40), label=9, model="nine")
    desk.save(screen.photograph())
    image = only_image(project)
    assert project.labels(image) == (1, 2)
    assert [one.model for one in project.objects(image)] == ["three", "nine"]


def test_an_object_that_is_not_accepted_is_not_saved(desk, project, screen):
    screen.accept(square(2, 3))
    screen.label_map[square(30, 40)] = screen.in_the_making
    desk.save(screen.photograph())
    assert same(masks(project), square(2, 3))


def test_what_was_painted_by_hand_is_called_so(desk, project, screen):
    screen.accept(square(2, 3), model="a")
    screen.accept(square(20, 20), model="b")
    screen.label_map[square(12, 3, side=2)] = 1
    screen.label_map[square(35, 50)] = 17
    desk.save(screen.photograph())
    edited, untouched, painted = project.objects(only_image(project))
    assert (edited.model, edited.hand_edited) == ("a", True)
    assert (untouched.model, untouched.hand_edited) == ("b", False)
    assert (painted.annotator, painted.hand_edited) == ("Ada", True)


def test_a_grey_16_bit_photograph_is_saved_as_rgb(desk, project, photo):
    grey = photo[..., 1].astype(np.uint16) * 257
    screen = Screen(grey)
    screen.accept(square(2, 3))
    desk.save(screen.photograph())
    saved = project.image(only_image(project))
    assert np.array_equal(saved, np.dstack([photo[..., 1]] * 3))


def test_what_is_in_the_project_is_found_for_the_same_pixels(desk, screen, photo):
    screen.accept(square(2, 3), model="a")
    screen.accept(square(30, 40), model="b")
    desk.save(screen.photograph())
    entry = desk.look_up(Screen(photo.copy()).photograph())
    assert [one.provenance.model for one in entry.missing] == ["a", "b"]
    assert [(one.top, one.left) for one in entry.missing] == [(2, 3), (30, 40)]
    assert all(one.pixels.shape == (10, 10) for one in entry.missing)
    other = Screen(np.flip(photo, 1).copy())
    assert desk.look_up(other.photograph()).missing == ()


def test_what_is_on_the_screen_is_not_found_again(desk, screen):
    screen.accept(square(2, 3))
    desk.save(screen.photograph())
    assert desk.look_up(screen.photograph()).missing == ()
    screen.bookmarks.seen.clear()
    assert desk.look_up(screen.photograph()).missing == ()


def test_looking_up_writes_nothing(desk, project, screen):
    screen.accept(square(2, 3))
    desk.look_up(screen.photograph())
    assert project.images() == []


def test_a_save_keeps_objects_that_the_screen_never_showed(desk, project, later):
    later.accept(square(30, 40), model="later")
    entry = desk.save(later.photograph())
    assert [one.provenance.model for one in entry.missing] == ["earlier"]
    assert same(masks(project), square(30, 40), square(2, 3))
    models = [one.model for one in project.objects(only_image(project))]
    assert models == ["later", "earlier"]
    # It is not on the screen before somebody draws it: a save in between keeps it, too.
    later.accept(square(15, 15), model="quick")
    desk.save(later.photograph())
    assert len(masks(project)) == 3


@pytest.mark.parametrize("top", [3, 8])
def test_another_outline_of_a_lesion_is_not_replaced_unasked(desk, project, later, top):
    later.accept(square(top, 3), model="later")
    entry = desk.save(later.photograph())
    assert [one.model for one in entry.disputed] == ["earlier"]
    assert same(masks(project), square(2, 3))
    assert later.bookmarks.seen == {}


def test_a_lesion_outlined_anew_has_its_new_outline_and_it_is_said(
    desk, project, later
):
    later.accept(square(3, 3), model="later")
    entry = desk.save(later.photograph(), replace_others=True)
    assert (entry.missing, entry.n_replaced) == ((), 1)
    assert same(masks(project), square(3, 3))


def test_of_an_object_that_is_partly_covered_the_rest_is_kept(desk, project, later):
    later.accept(square(8, 3), model="later")
    desk.save(later.photograph(), replace_others=True)
    assert same(masks(project), square(8, 3), square(2, 3) & ~square(8, 3))


def test_the_same_outline_is_no_matter_of_dispute(desk, project, later):
    later.accept(square(2, 3), model="later")
    assert desk.save(later.photograph()).disputed == ()
    assert [one.model for one in project.objects(only_image(project))] == ["later"]


def test_an_object_erased_from_the_screen_goes_from_the_project(desk, project, screen):
    screen.accept(square(2, 3))
    screen.accept(square(30, 40))
    desk.save(screen.photograph())
    screen.label_map[square(2, 3)] = 0
    desk.save(screen.photograph())
    assert same(masks(project), square(30, 40))


def test_a_project_that_somebody_changed_meanwhile_is_looked_at_again(
    desk, project, screen, photo
):
    screen.accept(square(2, 3))
    desk.save(screen.photograph())
    other = Screen(photo)
    other.accept(square(30, 40), model="other")
    ProjectDesk(project.root).save(other.photograph())
    screen.accept(square(15, 20), model="mine")
    entry = desk.save(screen.photograph())
    assert [one.provenance.model for one in entry.missing] == ["other"]
    assert len(masks(project)) == 3


def test_each_project_has_its_own_bookmarks(desk, project, screen, tmp_path):
    second = ProjectDesk(tmp_path / "second")
    assert second.create().n_annotated == 0
    screen.accept(square(2, 3))
    desk.save(screen.photograph())
    second.save(screen.photograph())
    assert set(screen.bookmarks.seen) == {
        (folder, only_image(project)) for folder in (project.root, second.folder)
    }


def test_nothing_accepted_is_one_sentence(desk, screen):
    with pytest.raises(ProjectError, match="outline the lesion"):
        desk.save(screen.photograph())


def test_a_project_that_was_moved_is_one_sentence_and_works_when_it_is_back(
    desk, project, screen
):
    screen.accept(square(2, 3))
    desk.open()
    away = project.root.with_name("away")
    project.root.rename(away)
    with pytest.raises(ProjectError, match="moved"):
        desk.save(screen.photograph())
    away.rename(project.root)
    assert desk.save(screen.photograph()).n_annotated == 1


def test_without_any_object_left_the_photograph_is_not_annotated_any_more(
    project, desk, screen
):
    screen.accept(square(5, 5))
    desk.save(screen.photograph())
    screen.label_map[:] = 0
    entry = desk.save(screen.photograph())
    assert (entry.n_annotated, entry.missing, entry.place) == (0, (), None)
    assert project.annotated() == []
    assert len(project.images()) == 1
    assert project.check() == []


def test_two_saves_at_the_same_instant_keep_the_objects_of_both(
    project, photo, monkeypatch
):
    one, two = Screen(photo), Screen(photo)
    one.accept(square(0, 0))
    two.accept(square(30, 30))
    between, go_on = threading.Event(), threading.Event()
    save = AnnotationProject.save_annotation

    def save_late(*arguments) -> None:
        if not between.is_set():
            between.set()
            go_on.wait(0.5)  # the other one, if it can, saves now
        save(*arguments)
        go_on.set()

    monkeypatch.setattr(AnnotationProject, "save_annotation", save_late)
    with ThreadPoolExecutor() as pool:
        saves = [pool.submit(ProjectDesk(project.root).save, one.photograph())]
        assert between.wait(20)
        saves += [pool.submit(ProjectDesk(project.root).save, two.photograph())]
        for each in saves:
            each.result(20)
    (image,) = project.annotated()
    assert np.array_equal(project.mask(image), square(0, 0) | square(30, 30))
