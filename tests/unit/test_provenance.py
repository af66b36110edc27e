"""Where an object came from can always be read again."""

import json
import math

import pytest

from napari_glmedsa.provenance import Provenance


def test_what_is_written_is_read_back():
    known = Provenance(
        point_coords=((1.5, 2.0), (3.0, 4.0)),
        point_labels=(1, 0),
        box=(0.0, 1.0, 2.0, 3.0),
        model="base+adapter",
        hand_edited=True,
        annotator="Ada",
        created="2026-01-01T00:00:00+00:00",
    )
    assert Provenance.from_json(json.loads(json.dumps(known.to_json()))) == known


@pytest.mark.parametrize(
    "nonsense",
    [
        {"point_coords": ((1.0, 2.0),)},
        {"point_labels": (1,)},
        {"point_coords": ((1.0, 2.0),), "point_labels": (2,)},
        {"point_coords": ((1.0, math.nan),), "point_labels": (1,)},
        {"box": (3.0, 0.0, 1.0, 2.0)},
        {"box": (0.0, 0.0, math.inf, 2.0)},
    ],
)
def test_what_nobody_could_read_again_is_never_made(nonsense):
    with pytest.raises(ValueError, match=r"click|box"):
        Provenance(**nonsense)
