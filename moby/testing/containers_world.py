"""The conformance suite of the kind `containers`: what its tests are given, and what they do again and again."""

import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from attrs import frozen

from moby.contracts.containers import Condition, ContainerConfig, Containers, Ended, ExecConfig
from moby.contracts.events import Event, Events
from moby.contracts.log_driver import LogQuery
from moby.contracts.supervisor import Streams
from moby.errors import Conflict, NotFound
from moby.testing.boxes import PATIENCE_S, read_all, readable

__all__ = ["ContainersFixtures", "World", "archive", "close", "eventually"]

_ENDED = 2**62


@frozen
class World:
    """What a subclass brings: the part under test, entered, what it publishes to, and the name of an image.

    The image has a shell, cat, sleep, /etc/passwd with `ann` (1000) and /etc/group with `extra` (200).
    """

    containers: Containers
    events: Events
    image: str = "box"


def close(streams: Streams | None) -> None:
    """Close a client's descriptors."""
    if streams is not None:
        for each in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(each)


def eventually(check: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return what `check` returned; fail the test where it never is."""
    waited = threading.Event()
    for _ in range(int(PATIENCE_S * 50)):
        if found := check():
            return found
        waited.wait(0.02)
    return pytest.fail(f"it never is so: {what}")


def archive(*files: tuple[str, bytes], **meta: Any) -> io.BytesIO:
    """Return an archive of files; `meta` is what else is said of each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in meta.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


class ContainersFixtures:
    """What tests of the kind are given, and calls that they all make."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """Return what is tested."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def nothing_left(self, world: World) -> Iterator[None]:
        """Remove what a test left."""
        yield
        for each in world.containers.list():
            with suppress(NotFound, Conflict):
                world.containers.remove(each.id, force=True, volumes=True)

    def make(self, world: World, script: str, name: str = "", **config: Any) -> str:
        """Create a container of a script, and return its id."""
        asked = ContainerConfig(world.image, command=("sh", "-c", script), **config)
        return world.containers.create(asked, name).id

    def begin(self, world: World, script: str, name: str = "", **config: Any) -> str:
        """Create and start one."""
        made = self.make(world, script, name, **config)
        assert world.containers.start(made)
        return made

    def run(self, world: World, script: str, **config: Any) -> tuple[int | None, str]:
        """Run one to its end; return its exit code, and what it wrote."""
        return self.finish(world, self.make(world, script, **config))

    def finish(self, world: World, made: str) -> tuple[int | None, str]:
        """Run a created one to its end."""
        streams = world.containers.attach(made)
        waiter = world.containers.wait(made, Condition.NEXT_EXIT)
        try:
            world.containers.start(made)
            text = read_all(streams.stdout) + (read_all(streams.stderr) if streams.stderr >= 0 else "")
            assert readable(waiter.fileno()), "it doesn't end"
            return waiter.result().exit_code, text
        finally:
            waiter.close()
            close(streams)

    def wait(self, world: World, made: str, condition: Condition = Condition.NOT_RUNNING) -> Ended:
        """Wait for one."""
        waiter = world.containers.wait(made, condition)
        try:
            assert readable(waiter.fileno()), f"{condition} doesn't come"
            return waiter.result()
        finally:
            waiter.close()

    def told(self, world: World, made: str) -> list[Event]:
        """Return what was published of a container."""
        return [each for each in world.events.past(0, _ENDED) if each.id == made]

    def actions(self, world: World, made: str) -> list[str]:
        """Return the actions of that."""
        return [each.action for each in self.told(world, made)]

    def log(self, world: World, made: str, **query: Any) -> bytes:
        """Return what is in a log now."""
        descriptor = world.containers.logs(made, LogQuery(framed=False, **query))
        try:
            return read_all(descriptor).encode()
        finally:
            os.close(descriptor)

    def exec(self, world: World, made: str, *command: str, **config: Any) -> tuple[int | None, str]:
        """Run a further program to its end."""
        asked = ExecConfig(command, attach_stdout=True, attach_stderr=True, **config)
        exec_id = world.containers.exec_create(made, asked)
        streams = world.containers.exec_start(exec_id)
        assert streams is not None
        text = read_all(streams.stdout) + (read_all(streams.stderr) if streams.stderr >= 0 else "")
        close(streams)
        descriptor = world.containers.exec_exit_fd(exec_id)
        assert readable(descriptor), "the exec doesn't end"
        os.close(descriptor)
        found = world.containers.exec_get(exec_id)
        assert not found.running
        return found.exit_code, text
