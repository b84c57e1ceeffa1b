"""The components that are installed, found without importing a plugin."""

from moby.registry.catalog import Broken, Catalog, served
from moby.registry.discovery import discover
from moby.registry.installed import Distribution, Entry

__all__ = ["Broken", "Catalog", "Distribution", "Entry", "discover", "served"]
