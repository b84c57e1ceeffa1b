"""The store with real parts below, as tests make it."""

import time

from attrs import field, frozen
from moby_content.local.store import Store as Content
from moby_image_registry.folder.layouts import Layouts
from moby_images.store.parts import Parts
from moby_images.store.service import Store
from moby_metadata.sqlite.store import Store as Metadata
from moby_snapshotter.overlay.snapshots import Overlay

from moby.contracts.ambient import Place
from moby.oci.unpack import Limits


class Clock:
    def now_ns(self):
        return time.time_ns()

    def monotonic_ns(self):
        return time.monotonic_ns()


@frozen
class Events:
    told: list = field(factory=list)

    def publish(self, event):
        self.told.append(event)


def parts(base, metadata=None, snapshotter=None, limits=None):
    place = Place(base / "images", base / "run", base / "cache")
    metadata = metadata or Metadata(base / "metadata.db")
    snapshotter = snapshotter or Overlay(base / "snapshots", metadata, limits)
    return Parts(Content(base / "content"), snapshotter, metadata, Events(), Clock(), place, limits or Limits())


def store_of(made, registry=None):
    """Make the store of parts; its image registry is a folder beside them where none is given."""
    return Store(made, registry or Layouts(made.place.state.parent / "registry"))


def store(base, **more):
    return store_of(parts(base, **more))
