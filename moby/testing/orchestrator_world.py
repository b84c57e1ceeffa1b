"""The conformance suite of the kind `orchestrator`: what its tests are given, and what they do again and again."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import define, fields

from moby.contracts.containers import Container, ContainerConfig, Containers
from moby.contracts.log_driver import LogQuery
from moby.contracts.networks import Network, Networks
from moby.contracts.orchestrator import (
    Application,
    Orchestrator,
    Restart,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    UpdatePolicy,
)
from moby.contracts.volumes import Volumes
from moby.errors import MobyError, NotFound
from moby.testing.boxes import read_all

__all__ = ["FOREVER", "OrchestratorFixtures", "World", "eventually", "network"]

PATIENCE_S = 90.0
SECOND_NS = 10**9
FOREVER = "while :; do sleep 1000; done"
_QUICK = UpdatePolicy(monitor_ns=SECOND_NS // 5)
_SOON = Restart(delay_ns=SECOND_NS // 20)


@define
class World:
    """What a subclass brings: the part under test, entered, with no service, in a cluster where it has clusters.

    The other parts are those that its tasks run by on this machine. The image has a shell, cat and sleep.
    """

    orchestrator: Orchestrator
    features: frozenset[str]
    """What its component offers, of OrchestratorFeature."""
    containers: Containers
    networks: Networks
    volumes: Volumes
    restart: Callable[[], "World"] | None = None
    """Lets the engine die and begin anew on what it wrote, and returns what is tested then. None skips."""
    image: str = "box"
    network_driver: str = ""
    """Of networks that can be made; empty is the default one."""


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return what `check` returned; fail the test where it never is."""
    waited = threading.Event()
    until = time.monotonic() + PATIENCE_S
    while not (found := check()):
        if time.monotonic() > until:
            return pytest.fail(f"it never is so: {what}")
        waited.wait(0.02)
    return found


def network(world: World, name: str, **more: Any) -> Network:
    """Return the description of a network of an application."""
    return Network("", name, world.network_driver, "", **more)


class OrchestratorFixtures:
    """What tests of the kind are given, and calls that they all make."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """Return what is tested."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def nothing_left(self, world: World) -> Iterator[None]:
        """Remove what a test left."""
        before = {each.id for each in world.containers.list()}
        yield
        self.clear(world, before)

    def clear(self, world: World, before: set[str]) -> None:
        """Remove all applications and services, and wait until their containers are gone."""
        orchestrator = world.orchestrator
        for name in orchestrator.applications():
            orchestrator.remove_application(name, volumes=True)
        for service in orchestrator.services():
            with contextlib.suppress(NotFound):
                orchestrator.remove(service.id)
        eventually(lambda: not {each.id for each in world.containers.list()} - before, "all containers go")
        for each in orchestrator.applications():  # networks and volumes that were in use a moment ago
            orchestrator.remove_application(each, volumes=True)

    def offers(self, world: World, feature: str) -> None:
        """Skip a test of what isn't offered; another one sees that it is refused."""
        if feature not in world.features:
            pytest.skip(f"this orchestrator doesn't offer {feature}")

    def lacks(self, world: World, feature: str) -> None:
        """Skip a test of how a feature is refused where it is offered."""
        if feature in world.features:
            pytest.skip(f"this orchestrator offers {feature}")

    def spec(self, world: World, name: str, script: str = FOREVER, **more: Any) -> ServiceSpec:
        """Return a service of a script, whose tasks end at once when they are told to."""
        config: dict[str, Any] = {"stop_signal": "SIGKILL", **more.pop("config", {})}
        container = ContainerConfig(world.image, command=("sh", "-c", script), **config)
        more.setdefault("update", _QUICK)
        more.setdefault("rollback", _QUICK)
        return ServiceSpec(name, container, restart=more.pop("restart", _SOON), **more)

    def begin(self, world: World, name: str, script: str = FOREVER, **more: Any) -> Service:
        """Create a service, and wait until its tasks run."""
        spec = self.spec(world, name, script, **more)
        found = world.orchestrator.create(spec)
        self.running(world, name, spec.replicas)
        return found

    def up(self, world: World, application: Application, **more: Any) -> Any:
        """Apply an application, wait until all its tasks run, and return what it changed."""
        applied = world.orchestrator.apply(application, **more)
        for spec in application.services:
            self.running(world, spec.name, spec.replicas)
        return applied

    def again(self, world: World) -> None:
        """Let the engine die and begin anew; skip where it can't."""
        if world.restart is None:
            pytest.skip("this engine isn't started again")
        after = world.restart()
        for each in fields(World):
            setattr(world, each.name, getattr(after, each.name))

    def running(self, world: World, name: str, count: int) -> tuple[Task, ...]:
        """Wait until exactly so many tasks of a service run, all as it is now, and return them by slot."""

        def look() -> tuple[bool, tuple[Task, ...]]:
            service = world.orchestrator.service(name)
            tasks = [each for each in world.orchestrator.tasks(name) if each.status.state is TaskState.RUNNING]
            found = tuple(sorted(tasks, key=lambda each: each.slot))
            return len(found) == count and all(each.template == service.template for each in found), found

        found: tuple[Task, ...] = self.settled(look, f"{count} tasks of {name} run")
        return found

    def settled(self, look: Callable[[], tuple[bool, Any]], what: str) -> Any:
        """Wait until a look says that something is so, and return what else it says."""
        return eventually(lambda: (found := look())[0] and found, what)[1]

    def ended(self, world: World, name: str, *states: TaskState) -> Task:
        """Wait until a service has a task in one of some states, and return the newest one."""

        def look() -> Task | None:
            return next((each for each in world.orchestrator.tasks(name) if each.status.state in states), None)

        found: Task = eventually(look, f"a task of {name} is {' or '.join(states)}")
        return found

    def container(self, world: World, task: Task) -> Container:
        """Return a task's container."""
        return world.containers.get(task.status.container_id)

    def of(self, world: World, name: str) -> list[Container]:
        """Return the containers of a service's tasks that there are."""
        found = []
        for task in world.orchestrator.tasks(name):
            if task.status.container_id:
                with contextlib.suppress(NotFound):
                    found.append(self.container(world, task))
        return found

    def kill(self, task: Task) -> None:
        """End a task's program, as if it had died by itself."""
        os.kill(task.status.pid, signal.SIGKILL)

    def said(self, world: World, name: str, **query: Any) -> str:
        """Return what is in the log of a service or a task now, without frames."""
        descriptor = world.orchestrator.logs(name, LogQuery(framed=False, **query))
        try:
            return read_all(descriptor)
        finally:
            os.close(descriptor)

    def says(self, world: World, name: str, words: str, **query: Any) -> bool:
        """Whether just that is in the log of a service or a task now."""
        return self.said(world, name, **query) == words

    def refused(self, kind: type[MobyError], words: str, call: Callable[..., Any], *given: Any, **named: Any) -> None:
        """See that a call raises an error of a kind, with some words."""
        with pytest.raises(kind, match=words or None):
            call(*given, **named)
