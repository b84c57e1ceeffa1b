"""Container engines assembled out of interchangeable parts.

`load` reads a manifest, `resolve` turns it into a plan, `assemble` generates a distribution, `start` runs a plan.
"""

TYPE_CHECKING = False  # without an import of typing, which takes as long as a small command does
if TYPE_CHECKING:
    from moby.api import assemble, load, resolve, start

__all__ = ["assemble", "load", "resolve", "start"]


def __getattr__(name: str) -> object:
    # An engine imports this package too, and must not pay for the assembling half.
    if name not in __all__:
        raise AttributeError(f"module 'moby' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("moby.api"), name)
