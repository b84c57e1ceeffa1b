"""Makes what there is be what was asked for: a plan whenever something changed, carried out by a few threads."""

import os
import select
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import evolve

from moby.contracts.containers import Container
from moby.contracts.orchestrator import Node
from moby.errors import MobyError, NotFound
from moby_orchestrator.compose.keeping.doing import Hands
from moby_orchestrator.compose.keeping.following import concerns
from moby_orchestrator.compose.keeping.machine import problems_of
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.planning import (
    Action,
    Create,
    Done,
    Forget,
    Rename,
    Retire,
    Start,
    View,
    plan,
)
from moby_orchestrator.compose.keeping.seeing import Grouped, group, see
from moby_orchestrator.compose.keeping.sharing import Sharing
from moby_orchestrator.compose.keeping.shelf import Shelf

if TYPE_CHECKING:
    from moby.contracts.image_registry import Credentials

__all__ = ["Loop"]

_AT_ONCE = 16
Slot = tuple[str, int]


class Loop:
    """One thread that plans, and a pool that does; sleeps until a container or a service changes."""

    def __init__(self, parts: Parts, shelf: Shelf, sharing: Sharing, node: Callable[[], Node]) -> None:
        self.lock = threading.RLock()
        """Whoever changes the shelf has it."""
        self.failed: dict[Slot, str] = {}
        """Why a container couldn't be made; tried again once somebody asks."""
        self.again: set[str] = set()
        self.credentials: dict[str, Credentials] = {}
        """Of services, by id; they are nowhere but here."""
        self._parts, self._shelf, self._sharing, self._node = parts, shelf, sharing, node
        self._hands = Hands(parts, shelf.data)
        self._busy: dict[Slot | str, str] = {}
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._ending = False
        self._pool = ThreadPoolExecutor(_AT_ONCE, "orchestrator")
        self._thread = threading.Thread(target=self._run, name="orchestrator", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._subscription = self._parts.events.subscribe(0, concerns)
        self._thread.start()

    def stop(self) -> None:
        """End, once what is being done is done."""
        self._ending = True
        self.wake()
        self._thread.join()
        self._pool.shutdown()
        self._subscription.close()
        for each in (self._reader, self._writer):
            os.close(each)

    def wake(self) -> None:
        """Have it plan anew."""
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def look(self) -> tuple[Grouped, Mapping[str, Container]]:
        """Return what there is, and the containers by id; what docker compose took over is kept no more."""
        with self.lock:
            there = {each.id: each for each in self._parts.containers.list()}
            seen = [(found, each) for each in there.values() if (found := see(each)) is not None]
            grouped = group(self._shelf.services, self._shelf.removals, seen)
            if grouped.lost:
                self._shelf.forget(*grouped.lost)
            return grouped, there

    def view(self, grouped: Grouped) -> View:
        """Return what a plan is made of."""
        node = self._node()
        kept = grouped.kept
        lacking = (each.id for each in kept.values() if not each.adopted and problems_of(each.spec, node))
        return View(
            kept=kept,
            removals=dict(self._shelf.removals),
            seen=grouped.seen,
            busy=frozenset(self._busy),
            going=self.going(),
            failed=frozenset(self.failed),
            unplaceable=frozenset(lacking),
            again=frozenset(self.again),
        )

    def going(self) -> frozenset[str]:
        """Return ids of containers that are being removed; under the lock."""
        return frozenset(each for each, what in self._busy.items() if isinstance(each, str) and what == "Retire")

    def _run(self) -> None:
        while not self._ending:
            try:
                self._once()
            except Exception as error:  # the next change is looked at all the same
                self._parts.log.error("what services lack can't be told", error=str(error) or type(error).__name__)
            self._sleep()

    def _sleep(self) -> None:
        if self._subscription.ended:
            self._subscription.close()
            self._subscription = self._parts.events.subscribe(0, concerns)
            return
        select.select([self._reader, self._subscription.fileno()], [], [])
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)
        self._subscription.take()

    def _once(self) -> None:
        with self.lock:
            grouped, _ = self.look()
            for action in plan(self.view(grouped)):
                self._begin(action)
            self.settle()

    def settle(self) -> None:
        """Remove networks and volumes of applications that are gone, once their services are; under the lock."""
        if not self._shelf.leaving:
            return
        grouped, _ = self.look()
        there = {each.application for containers in grouped.seen.values() for each in containers}
        there |= {each.application for each in self._shelf.removals.values()}
        for name in [each for each in self._shelf.leaving if each not in there]:
            self._sharing.remove(name, volumes=self._shelf.leaving[name])
            self._shelf.stay(name)

    def _begin(self, action: Action) -> None:
        match action:
            case Forget(service):
                self._parts.log.info("a service is gone: its containers were removed", service=service)
                self._shelf.forget(service)
                self.wake()
            case Done(service):
                self._shelf.removed(service)
                self.wake()  # others may wait for that
            case Create(service, number, replaces):
                self._submit(action, (service, number), *([replaces] if replaces else []))
            case Start(container) | Retire(container) | Rename(container, _):
                self._submit(action, container)

    def _submit(self, action: Action, *keys: Slot | str) -> None:
        for each in keys:
            self._busy[each] = type(action).__name__
        self._pool.submit(self._do, action, keys)

    def _do(self, action: Action, keys: tuple[Slot | str, ...]) -> None:
        try:
            self._done(action, keys)
        except MobyError as error:  # of the metadata
            self._parts.log.error("what was done can't be noted", action=str(action), error=str(error))
        finally:
            self.wake()

    def _done(self, action: Action, keys: tuple[Slot | str, ...]) -> None:
        error = ""
        try:
            self._act(action)
        except NotFound as gone:
            error = str(gone)
        except Exception as failed:  # a bug of ours mustn't end the others
            error = str(failed) or type(failed).__name__
            self._parts.log.warning("a service's container isn't as it should be", action=str(action), error=error)
        with self.lock:
            for each in keys:
                self._busy.pop(each, None)
            if isinstance(action, Create):
                self._made(action, error)

    def _made(self, action: Create, error: str) -> None:
        slot = (action.service, action.number)
        if error:
            self.failed[slot] = error
        service = self._shelf.services.get(action.service)
        if service is not None and not error and not action.replaces:
            self._shelf.keep(evolve(service, missing=max(0, service.missing - 1)))

    def _act(self, action: Action) -> None:
        match action:
            case Create(id, number, replaces):
                self._create(id, number, replaces)
            case Start(container):
                with self.lock:
                    self.again.discard(container)
                self._hands.start(container)
            case Retire(container):
                self._hands.retire(container)
            case Rename(container, name):
                self._hands.rename(container, name)

    def _create(self, id: str, number: int, replaces: str) -> None:
        with self.lock:
            service = self._shelf.services.get(id)
        if service is None:
            return
        image = self._hands.image(service.spec.container.image, self.credentials.get(id))
        with self.lock:
            service = self._shelf.services.get(id)
            if service is None:
                return  # it was removed while its image came
            if service.image_id != str(image.id):
                service = evolve(service, image_id=str(image.id))
                self._shelf.keep(service)
        self._hands.create(service, number, self._node(), image, replaces)
