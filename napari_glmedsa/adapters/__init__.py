"""The method: GL-Med-SA adapters around an unmodified SAM image encoder.

Nothing here knows about images or clicks. Paper Eq. (1), one line per block:
``e_adapt = g(e_input) + l(e_input)``.
"""

import lazy_loader

# the stub beside this file says what is public; nothing is imported before use,
# so that windows open before torch is there
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
