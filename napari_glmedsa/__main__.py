"""``python -m napari_glmedsa`` is the command ``glmedsa``."""

from napari_glmedsa.cli import main

if __name__ == "__main__":
    main()
