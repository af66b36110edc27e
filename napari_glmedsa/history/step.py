"""One thing that the user did, and how to take it back."""

import json
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.history.patch import Patch
from napari_glmedsa.history.sheet import Arrays, Sheet

_VERSION = 1
_HEAD = struct.Struct("<BI")  # version, bytes of JSON
_FAST = 1  # zlib's level


@dataclass(frozen=True, eq=False)
class Step:
    """From one state of an image's mask to the next.

    Parameters
    ----------
    name
        What the user reads: ``"click"``, ``"brush"``, ``"accept"``, ...
    before, after
        All but the pixels.
    patch
        Which pixels changed, None if none did.
    """

    name: str
    before: Sheet
    after: Sheet
    patch: Patch | None = None

    def then(self, later: "Step") -> "Step":
        """Return both steps as one, with the name of the first."""
        if self.patch and later.patch:
            patch = self.patch.then(later.patch)
        else:
            patch = self.patch or later.patch
        return Step(self.name, self.before, later.after, patch)

    def to_bytes(self) -> bytes:
        """Return the step as bytes that need nothing else to be read."""
        return StepPacker().pack(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Step":
        """Read what `to_bytes` wrote; raises ValueError if it did not write this."""
        return StepPacker().unpack(data)


class StepPacker:
    """Turns steps into bytes and back, one after the other.

    A mask prompt is large and stays while the user clicks, so it is packed only with
    the first step that has it. Steps are unpacked in the order they were packed in.
    """

    def __init__(self) -> None:
        self._known: Arrays = {}

    def pack(self, step: Step) -> bytes:
        """Return a step as bytes."""
        arrays: Arrays = {}
        before, after = step.before.to_json(arrays), step.after.to_json(arrays)
        new = {key: arrays[key] for key in arrays.keys() - self._known.keys()}
        self._known |= new
        packed = [_pack_array(array) for array in new.values()]
        document = {
            "name": step.name,
            "before": before,
            "after": after,
            "arrays": [
                {"key": key, "shape": array.shape, "bytes": len(data)}
                for (key, array), data in zip(new.items(), packed, strict=True)
            ],
            "patch": step.patch is not None,
        }
        text = zlib.compress(json.dumps(document).encode(), _FAST)
        patch = step.patch.to_bytes() if step.patch else b""
        return b"".join([_HEAD.pack(_VERSION, len(text)), text, *packed, patch])

    def unpack(self, data: bytes) -> Step:
        """Read what `pack` wrote; raises ValueError if it did not write this."""
        try:
            return self._unpack(data)
        except (
            *(TypeError, LookupError, AttributeError, ArithmeticError),
            *(struct.error, zlib.error, RecursionError),
        ) as error:
            raise ValueError(f"not a step: {error}") from error

    def _unpack(self, data: bytes) -> Step:
        version, length = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"a step of version {version}, not {_VERSION}")
        start, stop = _HEAD.size, _HEAD.size + length
        document = json.loads(zlib.decompress(data[start:stop]))
        known = dict(self._known)
        for entry in document["arrays"]:
            start, stop = stop, stop + int(entry["bytes"])
            array = _unpack_array(data[start:stop], tuple(entry["shape"]))
            known[entry["key"]] = array
        step = Step(
            str(document["name"]),
            Sheet.from_json(document["before"], known),
            Sheet.from_json(document["after"], known),
            Patch.from_bytes(data[stop:]) if document["patch"] else None,
        )
        self._known = known  # only now: half a step has brought nothing
        return step


def _pack_array(array: NDArray[np.float32]) -> bytes:
    # Neighbouring logits share their upper bytes, so those are put side by side.
    as_bytes = np.ascontiguousarray(array, "<f4").view(np.uint8).reshape(-1, 4)
    return zlib.compress(np.ascontiguousarray(as_bytes.T).tobytes(), _FAST)


def _unpack_array(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    as_bytes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(4, -1)
    values = np.ascontiguousarray(as_bytes.T).view("<f4").reshape(shape)
    return values.astype(np.float32)
