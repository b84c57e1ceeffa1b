"""What breaks one promise of the contract each, to be put before a real runtime (`over`)."""

import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

from attrs import evolve

from moby.contracts.runtime import Process
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, Invalid, NotFound, Unsupported


class Broken:
    """The real one, to be broken by a subclass."""

    calls: tuple[str, ...] = ()
    """Without which nothing is broken."""


def over(mutant: type[Broken], real: type) -> type:
    """Return a runtime that breaks a promise which the real one keeps."""
    return type(mutant.__name__, (mutant, real), {})


def configured(change: Callable[[dict], object]) -> type[Broken]:
    """A runtime that does something else than its bundle says."""

    class Careless(Broken):
        def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
            path = bundle / "config.json"
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                data = json.loads(path.read_bytes())
                change(data)
                path.write_text(json.dumps(data))
            return super().create(container_id, bundle, stdio)

    return Careless


def without_namespace(kind: str) -> type[Broken]:
    def change(data: dict) -> None:
        spaces = data["linux"]["namespaces"]
        data["linux"]["namespaces"] = [each for each in spaces if each["type"] != kind]
        if kind == "uts":
            del data["hostname"]
        if kind == "user":
            data["linux"].pop("uidMappings", None)
            data["linux"].pop("gidMappings", None)

    return configured(change)


def without(*path: str) -> type[Broken]:
    """A runtime that passes over a field."""

    def change(data: dict) -> None:
        for name in path[:-1]:
            data = data[name]
        data.pop(path[-1], None)

    return configured(change)


def with_field(value: object, *path: str) -> type[Broken]:
    """A runtime that puts a value of its own into a field."""

    def change(data: dict) -> None:
        for name in path[:-1]:
            data = data[name]
        data[path[-1]] = value

    return configured(change)


class Eager(Broken):
    def create(self, container_id, bundle, stdio):
        process = super().create(container_id, bundle, stdio)
        super().start(container_id)
        return process

    def start(self, container_id):
        self.state(container_id)


class Replacing(Broken):
    def create(self, container_id, bundle, stdio):
        self.delete(container_id, force=True)
        return super().create(container_id, bundle, stdio)


class StartsAgain(Broken):
    def start(self, container_id):
        with contextlib.suppress(Conflict):
            super().start(container_id)


class StartsAnything(Broken):
    def start(self, container_id):
        with contextlib.suppress(Invalid):
            super().start(container_id)


class Forgetful(Broken):
    """Knows just what it made itself."""

    def __init__(self, *args):
        super().__init__(*args)
        self.own = set()

    def create(self, container_id, bundle, stdio):
        process = super().create(container_id, bundle, stdio)
        self.own.add(container_id)
        return process

    def list(self):
        return tuple(each for each in super().list() if each.id in self.own)


class AlwaysRunning(Broken):
    def state(self, container_id):
        return evolve(super().state(container_id), status=TaskStatus.RUNNING)


class KeepsPid(Broken):
    last = 0

    def state(self, container_id):
        found = super().state(container_id)
        self.last = found.pid or self.last
        return evolve(found, pid=self.last)


class NoAnnotations(Broken):
    def state(self, container_id):
        return evolve(super().state(container_id), annotations={})


class ZombiesLive(Broken):
    def state(self, container_id):
        found = super().state(container_id)
        record = self._records.read(container_id)
        for pid in (record.pid, getattr(record, "warden", record.pid)):
            if Path(f"/proc/{pid}").exists():
                return evolve(found, pid=pid, status=TaskStatus.RUNNING)
        return found


class Unsorted(Broken):
    def list(self):
        return super().list()[::-1]


class ListsNothing(Broken):
    def list(self):
        return ()


class NeverKills(Broken):
    def kill(self, container_id, signal, *, everyone=False):
        self.state(container_id)


class KillsOne(Broken):
    def kill(self, container_id, signal, *, everyone=False):
        super().kill(container_id, signal)


class KillsAll(Broken):
    def kill(self, container_id, signal, *, everyone=False):
        super().kill(container_id, signal, everyone=True)


class OtherSignal(Broken):
    def kill(self, container_id, number, *, everyone=False):
        super().kill(container_id, signal.SIGKILL, everyone=everyone)


class KillsTheDead(Broken):
    def kill(self, container_id, signal, *, everyone=False):
        with contextlib.suppress(Conflict):
            super().kill(container_id, signal, everyone=everyone)


class DeletesAnything(Broken):
    def delete(self, container_id, *, force=False):
        self.state(container_id)
        super().delete(container_id, force=True)


class DeletesNobody(Broken):
    def delete(self, container_id, *, force=False):
        with contextlib.suppress(NotFound):
            super().delete(container_id, force=force)


class StrictForce(Broken):
    def delete(self, container_id, *, force=False):
        self.state(container_id)
        super().delete(container_id, force=force)


class LeavesFolder(Broken):
    def delete(self, container_id, *, force=False):
        super().delete(container_id, force=force)
        Path(self._records.path(container_id)).mkdir(exist_ok=True)


class LeavesGroup(Broken):
    def _remove_group(self, record):
        pass

    _remove_groups = _remove_group


class LeavesRecord(Broken):
    def create(self, container_id, bundle, stdio):
        try:
            return super().create(container_id, bundle, stdio)
        except Exception:
            with contextlib.suppress(Exception):
                Path(self._records.path(container_id)).mkdir(parents=True, exist_ok=True)
            raise


class LeavesProcess(Broken):
    def create(self, container_id, bundle, stdio):
        try:
            return super().create(container_id, bundle, stdio)
        except Exception:
            if os.fork() == 0:
                os._exit(0)
            raise


class LeavesDescriptor(Broken):
    def create(self, container_id, bundle, stdio):
        os.open("/", os.O_RDONLY)
        return super().create(container_id, bundle, stdio)


class OnlyFirstPid(Broken):
    def pids(self, container_id):
        return super().pids(container_id)[:1]


class CallersPids(Broken):
    def pids(self, container_id):
        return (*super().pids(container_id), os.getpid())


class PidsOfTheDead(Broken):
    def pids(self, container_id):
        return super().pids(container_id) or (self._records.read(container_id).pid,)


class Permissive(Broken):
    """Passes over what it doesn't know."""

    def create(self, container_id, bundle, stdio):
        try:
            return super().create(container_id, bundle, stdio)
        except Unsupported:
            path = bundle / "config.json"
            data = json.loads(path.read_bytes())
            for name in ("vm", "hooks"):
                data.pop(name, None)
            for part in ("linux", "process"):
                data[part].pop("seccomp", None)
            path.write_text(json.dumps(data))
            return super().create(container_id, bundle, stdio)


class WrongKindOfError(Broken):
    def create(self, container_id, bundle, stdio):
        try:
            return super().create(container_id, bundle, stdio)
        except (Invalid, NotFound) as error:
            raise Conflict(str(error)) from error


class Vague(Broken):
    def create(self, container_id, bundle, stdio):
        try:
            return super().create(container_id, bundle, stdio)
        except (Invalid, Unsupported) as error:
            raise type(error)("something is wrong") from error


class Deaf(Broken):
    def create(self, container_id, bundle, stdio):
        null = os.open("/dev/null", os.O_RDONLY)
        try:
            return super().create(container_id, bundle, evolve(stdio, stdin=null))
        finally:
            os.close(null)


class ExecOutside(Broken):
    def exec(self, container_id, process, stdio):
        super().state(container_id)
        pid = os.fork()
        if pid == 0:
            os.dup2(stdio.stdout, 1)
            os.execve("/bin/sh", process["args"], {})
        return Process(pid, os.pidfd_open(pid))


def exec_with(**fields: object) -> type[Broken]:
    class Careless(Broken):
        def exec(self, container_id, process, stdio):
            return super().exec(container_id, {**process, **fields}, stdio)

    return Careless


class ExecAnywhen(Broken):
    calls = ("exec",)

    def exec(self, container_id, process, stdio):
        try:
            return super().exec(container_id, process, stdio)
        except (Conflict, NotFound):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            return Process(pid, os.pidfd_open(pid))


class ExecHidden(Broken):
    def pids(self, container_id):
        found = super().pids(container_id)
        return found[:1]


class NeverPauses(Broken):
    def pause(self, container_id):
        self.state(container_id)


class NeverResumes(Broken):
    def resume(self, container_id):
        self.state(container_id)


class PausesAnything(Broken):
    def pause(self, container_id):
        with contextlib.suppress(Conflict):
            super().pause(container_id)

    def resume(self, container_id):
        with contextlib.suppress(Conflict):
            super().resume(container_id)


class KillsNoFrozen(Broken):
    def kill(self, container_id, signal, *, everyone=False):
        if self.state(container_id).status is not TaskStatus.PAUSED:
            super().kill(container_id, signal, everyone=everyone)


class NeverUpdates(Broken):
    def update(self, container_id, resources):
        self.state(container_id)


class Boastful(Broken):
    def __init__(self, *args):
        super().__init__(*args)
        self.features |= {"time-travel"}


class NoVersions(Broken):
    def programs(self) -> dict[str, tuple[str, str]]:
        return {"runc": ("", "")}


def hiding(feature: str) -> type[Broken]:
    """A runtime that does what it doesn't offer."""

    class Modest(Broken):
        def __init__(self, *args):
            super().__init__(*args)
            self.features -= {feature}

    return Modest
