"""The dock widgets of napari: the only folder that knows Qt and napari."""
