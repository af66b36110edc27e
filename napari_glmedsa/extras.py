"""Packages that only some tasks need, and the sentence that says how to get them."""

from importlib.util import find_spec

from napari_glmedsa.errors import MissingPackageError


def require(package: str, *, task: str, extra: str = "export") -> None:
    """Make sure that a package of an extra is there, before its import.

    Parameters
    ----------
    package : str
        As it is imported and installed.
    task : str
        What cannot be done without, as the beginning of a sentence.
    extra : str
        What to install.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    if find_spec(package) is None:
        raise MissingPackageError(
            f"{task} needs the package {package}; install it with: pip install"
            f' "napari-glmedsa[{extra}]".'
        )
