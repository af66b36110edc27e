"""Image and prompts to mask: preprocess, encode once, decode per click."""

import lazy_loader

# the stub beside this file says what is public; nothing is imported before use,
# so that windows open before torch is there
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
