"""How clicks and masks look: every colour and size of the user interface."""

from __future__ import annotations

CLICKS_NAME = "lesion"
MASK_NAME = "lesion mask"
TOOLS_NAME = "lesion box"
FORMER_MASK_NAME = "lesion mask (former photograph)"

LESION, BACKGROUND = "lesion", "background"
"""What a click says."""

CLICK_COLORS = {LESION: "#00c853", BACKGROUND: "#ff1744"}
CLICK_SYMBOLS = {LESION: "disc", BACKGROUND: "cross"}
"""Shape says the same as colour, for those who cannot tell green from red."""
CLICK_BORDER_COLOR = "white"
CLICK_BORDER_WIDTH = 0.12
"""Of the click's size."""
CLICK_SIZE = 0.024
"""Of the image's longer side."""
CLICK_CANVAS_SIZE = (5, 22)
"""Smallest and largest size on the screen in pixels, however far one zooms. At either,
the border is half the smallest size at least, so that must not be large."""

RULER_NAME = "ruler"
TOOL_COLOR = "#ffea00"
TOOL_WIDTH = 1 / 400
"""Of the image's longer side."""

OBJECT_COLORS = ("#00e5ff", "#ffea00", "#ff00c8", "#00b0ff", "#76ff03", "#b388ff")
"""Of objects 1, 2, ...; seen on pink and on dark skin, and on any lesion."""
OUTLINE_WIDTH = 1 / 320
"""Of the image's longer side."""
OUTLINE_MAX_PIXELS = 2_500_000
"""Beyond, napari draws outlines too slowly: the mask is a transparent fill."""
FILL_OPACITY = 0.4

CURVE_COLORS = {"loss": "#f28e2b", "dice": "#2f9be8"}
"""Of the learning curves; readable on napari's dark and on its light ground."""

OUTLINE_COLORS = {"truth": "#ffea00", "before": "#d500f9", "after": "#00e5ff"}
"""Of the masks compared in the gallery, from the widest line to the thinnest."""

STATUS_COLORS = {
    "new": "#9e9e9e",
    "in work": "#2f9be8",
    "accepted": "#00c853",
    "flagged": "#ff9100",
    "skipped": "#6d4c41",
}
"""Of the dot beside a photograph's state, which the word after it says as well."""
