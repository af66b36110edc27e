"""What Med-SA's release and MedSAM compute differently from SAM and the paper."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

_EITHER_OR = (("square_resize", "bicubic_resize"), ("unit_range_input", "minmax_input"))

MedSALayout = Literal["2023", "2024-01-03", "2024-01-29"]


@dataclass(frozen=True, slots=True)
class Compat:
    """Switches that reproduce Med-SA or MedSAM; all off is what SAM computes.

    Parameters
    ----------
    drop_rel_pos
        No relative positions in the encoder's attention: since January 2024 the
        release renames SAM's tables and so loses them without a word.
    norm_after_pad
        Windows are padded before `norm1`, so that the padding holds its bias
        instead of zeros.
    medsa_decoder
        Two-way transformer of EfficientSAM: layer 0 keeps its input too, and layer
        1 adds the prompts' positions to the tokens for good, and to the values.
    unit_range_input
        Pixels from 0 to 1, without SAM's mean and standard deviation.
    swap_xy
        Clicks reach the prompt encoder as (y, x).
    square_resize
        Images are stretched to the square input instead of padded.
    bicubic_resize
        The same as MedSAM does it: bicubically, values rounded down.
    minmax_input
        Pixels from 0, each image's darkest, to 1, its brightest value, without
        SAM's mean and standard deviation; as MedSAM.
    medsa_layout
        How a Med-SA file names its tensors; nothing is computed differently.

    Raises
    ------
    ValueError
        If a field has no meaning.
    """

    drop_rel_pos: bool = False
    norm_after_pad: bool = False
    medsa_decoder: bool = False
    unit_range_input: bool = False
    swap_xy: bool = False
    square_resize: bool = False
    bicubic_resize: bool = False
    minmax_input: bool = False
    medsa_layout: MedSALayout = "2024-01-29"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "medsa_layout":
                if value not in get_args(MedSALayout):
                    raise ValueError(
                        "medsa_layout must be one of "
                        f"{', '.join(get_args(MedSALayout))}, not {value!r}."
                    )
            elif not isinstance(value, bool):
                raise ValueError(
                    f"compat.{field.name} must be true or false, not {value!r}."
                )

        for one, other in _EITHER_OR:
            if getattr(self, one) and getattr(self, other):
                raise ValueError(
                    f"compat.{one} and compat.{other} exclude each other; choose one."
                )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`; raises ValueError for unknown fields."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"Not a set of compat switches: {error}.") from error


RELEASE_2024_06 = Compat(
    drop_rel_pos=True,
    norm_after_pad=True,
    medsa_decoder=True,
    unit_range_input=True,
    swap_xy=True,
    square_resize=True,
)
"""The release of June 2024, at whose time GL-Med-SA was written."""
