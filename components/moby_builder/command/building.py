"""A build in this process: worked on by a thread, shown and given up by the caller's."""

import queue
import threading
from collections.abc import Callable
from typing import Any

from attrs import frozen

from moby.contracts.builder import Build, Builder, CacheWritten, Event, Exported, Result
from moby_builder.command import layouts
from moby_builder.command.asking import Asked
from moby_builder.command.showing import Display

__all__ = ["Outcome", "build"]

_FRAME_S = 0.1


@frozen
class Outcome:
    """How a build ended."""

    result: Result | None = None
    exported: tuple[Exported, ...] = ()
    error: Exception | None = None


def build(builder: Builder, asked: Asked, display: Display, *, explain: bool = False) -> Outcome:
    """Build what is asked for, and show it; an error is raised after it was shown.

    However the caller's thread leaves, by Ctrl-C too, the build is given up and nothing of it is left.
    """
    events: queue.SimpleQueue[Event | Outcome] = queue.SimpleQueue()
    opened = builder.open(asked.lent, events.put)
    worker = threading.Thread(target=_work, args=(opened, asked, events.put), name="build", daemon=True)
    try:
        worker.start()
        outcome = _followed(events, display)
    finally:
        opened.cancel()
        if worker.ident is not None:
            worker.join()
        opened.close()
    display.end(outcome.error, explain=explain)
    if outcome.error is not None:
        raise outcome.error
    _index(asked, outcome.exported)
    return outcome


def _work(opened: Build, asked: Asked, tell: Callable[[Outcome], None]) -> None:
    try:
        result = opened.solve(asked.request)
        wanted = bool(asked.exports or asked.caches) and not asked.answer
        tell(Outcome(result, opened.export(result, asked.exports, asked.caches) if wanted else ()))
    except Exception as error:
        tell(Outcome(error=error))


def _followed(events: "queue.SimpleQueue[Event | Outcome]", display: Display) -> Outcome:
    while True:
        try:
            event = events.get(timeout=_FRAME_S)
        except queue.Empty:
            display.tick()
            continue
        if isinstance(event, Outcome):
            return event
        display.feed(event)


def _index(asked: Asked, exported: tuple[Exported, ...]) -> None:
    """Have layouts tell of what was stored in them, which a builder leaves to its client."""
    for export, found in zip(asked.exports, exported, strict=False):
        if export.store and found.digest:
            shown = _descriptor(str(found.digest), found.media_type, found.size_bytes)
            for name in export.names or ("",):
                tag = name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else "latest"
                layouts.add(asked.lent.stores[export.store], shown, tag, name)
    for cache in (each for each in asked.caches if each.type == "local"):
        folder = asked.lent.stores[f"local:{cache.attributes['dest']}"]
        for made in (each for found in exported for each in found.cache if each.type == "local"):
            if layouts.LayoutBlobs(folder).has(made.digest):
                layouts.add(folder, _of(made), cache.attributes.get("tag") or "latest")


def _of(made: CacheWritten) -> dict[str, Any]:
    return _descriptor(str(made.digest), made.media_type, made.size_bytes)


def _descriptor(digest: str, media_type: str, size_bytes: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size_bytes}
