"""The small part of what is known about an image in work: all but its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.files import sha256_array
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.provenance import Provenance

Arrays = dict[str, NDArray[np.float32]]
"""Mask prompts by the SHA-256 that stands for them in JSON."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """State of one image's mask at one moment, without the label map.

    Parameters
    ----------
    prompts
        Of the object in the making.
    object_id
        Label of that object.
    objects
        Accepted objects by label.
    choice
        Which candidate is shown: 0 is the model's best, 1 to 3 the user's choice.
    """

    prompts: Prompts = field(default_factory=Prompts.empty)
    object_id: int = 1
    objects: Mapping[int, Provenance] = field(default_factory=dict)
    choice: int = 0

    def __post_init__(self) -> None:
        # What a step remembers must not change when somebody goes on with the mapping.
        frozen = MappingProxyType(dict(self.objects))
        object.__setattr__(self, "objects", frozen)

    def to_json(self, arrays: Arrays) -> dict[str, Any]:
        """Return the sheet as plain JSON types; its mask prompt goes into `arrays`."""
        prompts, key = self.prompts, None
        if prompts.mask_input is not None:
            key = sha256_array(prompts.mask_input)
            arrays[key] = prompts.mask_input
        return {
            "point_coords": prompts.point_coords.tolist(),
            "point_labels": prompts.point_labels.tolist(),
            "box": None if prompts.box is None else prompts.box.tolist(),
            "mask_input": key,
            "object_id": self.object_id,
            "objects": {
                str(label): item.to_json() for label, item in self.objects.items()
            },
            "choice": self.choice,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], arrays: Arrays) -> Self:
        """Read what `to_json` wrote; what it does not know, it passes over.

        Raises
        ------
        ValueError, TypeError, LookupError, AttributeError
            If it did not write this.
        """
        key = document["mask_input"]
        return cls(
            prompts=Prompts(
                np.array(document["point_coords"], dtype=np.float64),
                np.array(document["point_labels"], dtype=np.int64),
                box=document["box"],
                mask_input=None if key is None else arrays[key],
            ),
            object_id=int(document["object_id"]),
            objects={
                int(label): Provenance.from_json(item)
                for label, item in document["objects"].items()
            },
            choice=int(document["choice"]),
        )
