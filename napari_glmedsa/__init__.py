"""Click a lesion in napari, get its mask, and teach the model your own lesions."""

__version__ = "0.1.0"
