"""Base models fetched, taken in, checked and removed, under the user's root."""

import lazy_loader

# as in `inference`: the command line's help needs the names of types, not numpy
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
