"""The distribution whose containers are limited: without a way out, for which a guest may lack the device."""

from guests.machine import CACHE

GIVEN = CACHE / "limited" / "limited.pyz"
"""For an emulated guest, which would take half an hour to assemble it."""


def assembled(folder):
    """Assemble it, and return its file."""
    from moby import distribution  # whose imports take long in a guest

    manifest = folder / "limited.yaml"
    manifest.write_text("moby: 1\nname: limited\nextends: [rootless]\ncomponents: {enclosure: unlinked}\n")
    distribution.assemble(str(manifest), folder / "dist")
    return folder / "dist/limited/limited.pyz"
