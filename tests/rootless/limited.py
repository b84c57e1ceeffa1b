"""The distribution whose containers are limited: without a way out, for which a guest may lack the device."""

import shutil
from contextlib import contextmanager

from guests.machine import CACHE

GIVEN = CACHE / "limited" / "limited.pyz"
"""Where a guest finds it, which would take long to assemble it, and half an hour where it is emulated."""


@contextmanager
def given(folder):
    """Have it lie there meanwhile."""
    GIVEN.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(assembled(folder), GIVEN)
    try:
        yield
    finally:
        shutil.rmtree(GIVEN.parent)


def assembled(folder):
    """Assemble it, and return its file."""
    from moby import distribution  # whose imports take long in a guest

    manifest = folder / "limited.yaml"
    manifest.write_text("moby: 1\nname: limited\nextends: [rootless]\ncomponents: {enclosure: unlinked}\n")
    distribution.assemble(str(manifest), folder / "dist")
    return folder / "dist/limited/limited.pyz"
