"""The builder `buildah`; see the contract."""

import threading
import time
from collections.abc import Callable
from datetime import datetime

from moby.contracts.ambient import Log, Place
from moby.contracts.builder import Build, CacheEntry, Event, Keep, Reclaimed, Session
from moby.contracts.images import Images
from moby.errors import Invalid, MobyError, Unsupported
from moby_builder.buildah.building import Building
from moby_builder.buildah.stock import Stock
from moby_builder.buildah.tool import Tool

__all__ = ["Service"]

_FILTERS = ("description", "id", "inuse", "parents", "private", "shared", "type", "unused-for", "until")


class Service:
    """Opens builds, and keeps count of them."""

    def __init__(self, tool: Tool, images: Images, place: Place, log: Log) -> None:
        self._tool = tool
        self._images = images
        self._place = place
        self._log = log
        self._stock = Stock(tool, images, place.run)
        self._lock = threading.Lock()
        self._open = 0

    def __enter__(self) -> "Service":
        self._tool.prepare()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave all as it is."""

    def open(self, session: Session, tell: Callable[[Event], None]) -> Build:
        """Begin a build."""
        with self._lock:
            self._open += 1
        return Building(
            self._tool, self._stock, self._images, self._place.run, session, tell, time.time_ns, self._closed
        )

    def usage(self) -> tuple[CacheEntry, ...]:
        """Return the images of buildah's store, those between steps too."""
        found = self._tool.json("images", "--all", "--json", "--no-trunc") or ()
        return tuple(sorted((_entry(each) for each in found), key=lambda each: each.id))

    def prune(self, keep: Keep) -> Reclaimed:
        """Remove all, which is the only choice that buildah leaves."""
        for name in keep.filters:
            if name not in _FILTERS:
                raise Invalid(f"there is no filter {name!r}", hint=f"the filters are {', '.join(_FILTERS)}")
        if keep.filters or keep.age_ns or keep.reserved_bytes or keep.max_bytes or keep.min_free_bytes:
            raise Unsupported(
                "buildah's cache can only be pruned as a whole",
                hint="prune without filters and limits, or use the builder `dockerfile`",
            )
        before = self.usage()
        if before:
            self._tool.call("rmi", "--all", "--force")
        left = {each.id for each in self.usage()}
        gone = tuple(each for each in before if each.id not in left)
        return Reclaimed(gone, sum(each.size_bytes for each in gone))

    def _closed(self) -> None:
        """Remove the containers that a killed build has left, once no build is open."""
        with self._lock:
            self._open -= 1
            if not self._open:
                try:
                    self._tool.call("rm", "--all")
                except MobyError as error:
                    self._log.warning("what a build left can't be removed", error=str(error))


def _entry(image: dict[str, str]) -> CacheEntry:
    created = datetime.fromisoformat(image["createdatraw"])
    names = image.get("names") or ()
    return CacheEntry(
        image["id"], "regular", ", ".join(names), _bytes(image["size"]), int(created.timestamp() * 1e9), 0,
    )  # fmt: skip


def _bytes(text: str) -> int:
    """Return what buildah writes as `3.43 MB`."""
    number, _, unit = text.partition(" ")
    return int(float(number) * 1000 ** ("B", "KB", "MB", "GB", "TB").index(unit.upper()))
