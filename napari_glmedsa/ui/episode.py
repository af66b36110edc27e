"""The history of one image: whatever is done to its layers becomes a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from napari.layers import Labels
from psygnal import Signal

from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.history import Document, History, Sheet, Step
from napari_glmedsa.history.document import Recorder
from napari_glmedsa.provenance import Provenance
from napari_glmedsa.ui import convert, steps
from napari_glmedsa.ui.accepted import AcceptedObject
from napari_glmedsa.ui.boxes import NOWHERE, Box, union
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.layers import LayerTrio


class Episode:
    """Watches the layers of one image and takes them back and forth in time.

    Pixels are compared with those of the step before, so that no way of changing them
    is missed. The history lives with the mask layer: another dock goes on with it.

    Parameters
    ----------
    trio : LayerTrio
        The layers, with a mask.
    """

    changed = Signal()
    """There is another step, or the layers are as they were at another one."""
    accepted_changed = Signal()
    """Accepted objects look different, as they were taken back or forth in time."""
    in_trouble = Signal(GLMedSAError)
    """Steps are not written down any more."""

    def __init__(self, trio: LayerTrio) -> None:
        self._trio = trio
        self._unseen: Box = NOWHERE  # painted, but not a step yet
        self._mode = steps.EDIT
        self._cuttings: dict[tuple[int, Provenance], AcceptedObject] = {}
        layer = trio.mask.ensure()
        known = layer.metadata[OURS].get("document")
        if not isinstance(known, Document) or known.label_map is not layer.data:
            known = Document(layer.data, self._sheet(Sheet()))
        self._document = known
        self._take(known)
        trio.mask.painted.connect(self._on_painted)

    @property
    def document(self) -> Document:
        """The label map in work, and its history."""
        return self._document

    @property
    def history(self) -> History:
        """The steps so far."""
        return self._document.history

    def close(self) -> None:
        """Watch no longer."""
        self.flush()
        self._trio.mask.painted.disconnect(self._on_painted)
        self._document.in_trouble.disconnect(self._on_trouble)

    def note(self, name: str, box: Box | None = None) -> None:
        """Make a step of what was done just now.

        Parameters
        ----------
        name : str
            What the user reads.
        box : (rows, columns), optional
            No pixel outside of it was changed.
        """
        self._note(name, box, joins=False)

    def join(self, name: str, box: Box | None = None) -> None:
        """Let what was done just now belong to the step before."""
        self._note(name, box, joins=True)

    def flush(self) -> None:
        """Make a step of what was painted and is none yet."""
        box, self._unseen = self._unseen, NOWHERE
        if box != NOWHERE and self._has_layer:
            self._mark_painted(box)
            self._note(self._mode, box, joins=False)

    def adopt(self, box: Box) -> None:
        """Take in what was accepted elsewhere: nobody here did it, or takes it back.

        Parameters
        ----------
        box : (rows, columns)
            Where pixels changed.
        """
        self._unseen = NOWHERE
        if len(self._document.history):
            self._note(steps.FROM_PROJECT, box, joins=False)
        else:
            self._begin(self._layer().metadata[OURS].get("journal"))

    def undo(self) -> Step | None:
        """Take the latest step back, on the screen, too; return it, or None."""
        self._look_at_layer()
        if self._document.history.undo_name == steps.FROM_PROJECT:
            return None
        step = self._document.undo()
        if step is not None:
            self._show(step.before, step)
        return step

    def redo(self) -> Step | None:
        """Make the step again that was taken back last; return it, or None."""
        self._look_at_layer()
        step = self._document.redo()
        if step is not None:
            self._show(step.after, step)
        return step

    @property
    def is_new(self) -> bool:
        """Whether nothing was done on the image yet."""
        sheet = self._document.sheet
        return (
            not len(self.history)
            and sheet.prompts.is_empty
            and not self._document.label_map.any()
        )

    def restore(self, document: Document, journal: Recorder) -> None:
        """Go on with a document that was written down, in place of this one.

        Parameters
        ----------
        document : Document
            Of the same image; its label map goes into the layer.
        journal : Recorder
            Where its steps are written.
        """
        layer = self._trio.mask.ensure()
        layer.data[...] = document.label_map
        document.label_map = layer.data
        self._unseen = NOWHERE
        self._keep(journal)
        self._take(document)
        self._show(document.sheet, None)

    def write_into(self, journal: Recorder | None) -> None:
        """Have steps written down from now on, those of before included."""
        self.flush()
        self._begin(journal)
        if len(self.history):
            self._document.save()

    def _keep(self, journal: Recorder | None) -> None:
        self._layer().metadata[OURS]["journal"] = journal

    def _begin(self, journal: Recorder | None) -> None:
        layer, now = self._trio.mask.ensure(), self._document
        sheet = self._sheet(now.sheet)
        self._keep(journal)
        self._take(Document(layer.data, sheet, history=now.history, journal=journal))

    def _take(self, document: Document) -> None:
        self._document.in_trouble.disconnect(self._on_trouble, missing_ok=True)
        self._document = document
        self._layer().metadata[OURS]["document"] = document
        self._trio.choice = document.sheet.choice
        if document.sheet.prompts.mask_input is not None:
            self._trio.mask_input = document.sheet.prompts.mask_input
        document.in_trouble.connect(self._on_trouble)

    def _on_trouble(self, error: GLMedSAError) -> None:
        self.in_trouble.emit(error)

    def _layer(self) -> Labels:
        # Where the image layer holds another photograph by now, `ensure` would make a
        # mask for that one.
        return self._trio.mask.layer or self._trio.mask.ensure()

    def _note(self, name: str, box: Box | None, *, joins: bool) -> None:
        if not self._has_layer:
            return
        if self._unseen != NOWHERE:
            self.flush()
        if self._adopt_layer():
            box = None
        document = self._document
        sheet = self._sheet(document.sheet)
        if joins and document.history.position:
            step = document.amend(sheet, box=box, name=name)
        else:
            step = document.record(name, sheet, box=box)
        if step is not None:
            self.changed.emit()

    @property
    def _has_layer(self) -> bool:
        """Whether there is a layer of the image that was begun with."""
        layer = self._trio.mask.layer
        size = self._document.label_map.shape
        return layer is not None and np.shape(layer.data) == size

    def _look_at_layer(self) -> None:
        """See all that was painted, be it by a stroke that goes on."""
        self._trio.mask.ensure()
        self.flush()
        self._note(steps.EDIT, None, joins=False)

    def _adopt_layer(self) -> bool:
        """Follow the layer if it has other data; tell whether it had."""
        layer = self._layer()
        if layer.data is self._document.label_map:
            return False
        if layer.data.dtype != self._document.label_map.dtype:
            layer.data = layer.data.astype(self._document.label_map.dtype)
        self._document.label_map = layer.data
        layer.metadata[OURS]["document"] = self._document
        return True

    def _sheet(self, before: Sheet) -> Sheet:
        """Return what the layers say, as the same object if it is the same."""
        trio = self._trio
        objects = {label: one.provenance for label, one in trio.mask.objects.items()}
        for label, one in trio.mask.objects.items():
            self._cuttings[label, one.provenance] = one
        prompts = trio.prompts()
        if convert.fingerprint(prompts) == convert.fingerprint(before.prompts):
            prompts = before.prompts
        sheet = Sheet(prompts, trio.mask.object_id, objects, trio.choice)
        same = (
            sheet.prompts is before.prompts
            and sheet.object_id == before.object_id
            and dict(sheet.objects) == dict(before.objects)
            and sheet.choice == before.choice
        )
        return before if same else sheet

    def _show(self, sheet: Sheet, step: Step | None) -> None:
        trio = self._trio
        trio.show_prompts(sheet.prompts)
        trio.choice = sheet.choice
        objects = self._cut_outs(sheet.objects)
        box = step.patch.box if step and step.patch else NOWHERE
        differ = trio.mask.take(sheet.object_id, objects, box)
        if step is None:
            trio.mask.ensure().refresh()
        self._unseen = NOWHERE
        if differ and step is not None:
            self.accepted_changed.emit()
        self.changed.emit()

    def _cut_outs(self, objects: Mapping[int, Provenance]) -> dict[int, AcceptedObject]:
        label_map = self._document.label_map
        found = {}
        for label, one in objects.items():
            cutting = self._cuttings.get((label, one))
            if cutting is None:
                cutting = AcceptedObject.cut_out(label_map == label, one)
                self._cuttings[label, one] = cutting
            found[label] = cutting
        return found

    def _mark_painted(self, box: Box) -> None:
        """Note that accepted objects were painted on, if they were."""
        objects = self._trio.mask.objects
        label_map = self._layer().data
        for label, one in list(objects.items()):
            if not one.provenance.hand_edited and not one.looks_same(
                label_map, label, within=union(box, one.box)
            ):
                edited = replace(one.provenance, hand_edited=True)
                objects[label] = replace(one, provenance=edited)

    def _on_painted(self, box: Box | None) -> None:
        layer = self._trio.mask.layer
        if layer is not None:
            if self._unseen == NOWHERE:
                self._mode = steps.OF_MODE.get(str(layer.mode), steps.EDIT)
            height, width = layer.data.shape
            everywhere = slice(0, height), slice(0, width)
            self._unseen = union(self._unseen, everywhere if box is None else box)
