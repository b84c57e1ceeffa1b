"""A runtime for tests of supervisors: it forks real processes, and isolates nothing."""

import contextlib
import fcntl
import json
import os
import signal
import termios
from pathlib import Path

from attrs import define

from moby.contracts.runtime import DIE_WITH_PARENT, ContainerState, Process, RuntimeFeature
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, Invalid, NotFound
from moby.host.processes import set_parent_death_signal


@define
class Container:
    id: str
    bundle: Path
    pid: int
    gate: int
    verdict: int
    status: TaskStatus = TaskStatus.CREATED


class ForkingRuntime:
    """Runs a bundle's program as an ordinary process of the host."""

    features = frozenset(
        {RuntimeFeature.EXEC, RuntimeFeature.MOUNTS, RuntimeFeature.NAMESPACES, RuntimeFeature.PAUSE,
         RuntimeFeature.TERMINAL}
    )  # fmt: skip

    def __init__(self):
        self.containers = {}
        self.deleted = []
        self.updated = []

    def programs(self):
        return {"fork": ("1.2", "")}

    def create(self, container_id, bundle, stdio):
        if container_id in self.containers:
            raise Conflict(f"{container_id} is taken")
        try:
            config = json.loads((bundle / "config.json").read_text())
            process = config["process"]
        except FileNotFoundError as error:
            raise NotFound(f"no bundle at {bundle}") from error
        except (ValueError, KeyError) as error:
            raise Invalid(f"config.json: {error}") from error
        dies = config.get("annotations", {}).get(DIE_WITH_PARENT) == "true"
        made, gate, verdict = self._fork(process, stdio, dies_with_parent=dies)
        self.containers[container_id] = Container(container_id, bundle, made.pid, gate, verdict)
        return made

    def start(self, container_id):
        container = self._get(container_id)
        if self._status(container) is not TaskStatus.CREATED:
            raise Conflict(f"{container_id} is {container.status}")
        container.status = TaskStatus.RUNNING
        self._open_gate(container.gate, container.verdict)

    def state(self, container_id):
        container = self._get(container_id)
        status = self._status(container)
        return ContainerState(
            container_id, status, 0 if status is TaskStatus.STOPPED else container.pid, container.bundle
        )

    def list(self):
        return tuple(self.state(each) for each in sorted(self.containers))

    def kill(self, container_id, signal, *, everyone=False):
        container = self._get(container_id)
        if self._status(container) is TaskStatus.STOPPED:
            raise Conflict(f"{container_id} is stopped")
        os.kill(-container.pid if everyone else container.pid, signal)

    def delete(self, container_id, *, force=False):
        container = self.containers.get(container_id)
        if container is None and force:
            return
        container = self._get(container_id)
        if self._status(container) is not TaskStatus.STOPPED:
            if not force:
                raise Conflict(f"{container_id} is {container.status}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(-container.pid, signal.SIGKILL)
        if container.status is TaskStatus.CREATED:
            os.close(container.gate)
            os.close(container.verdict)
        del self.containers[container_id]
        self.deleted.append(container_id)

    def exec(self, container_id, process, stdio):
        if self._status(self._get(container_id)) is not TaskStatus.RUNNING:
            raise Conflict(f"{container_id} isn't running")
        made, gate, verdict = self._fork(process, stdio)
        try:
            self._open_gate(gate, verdict)
        except Invalid:
            os.waitpid(made.pid, 0)
            for each in {made.exit_fd, made.terminal_fd} - {-1}:
                os.close(each)
            raise
        return made

    def pause(self, container_id):
        container = self._get(container_id)
        if self._status(container) is not TaskStatus.RUNNING:
            raise Conflict(f"{container_id} isn't running")
        os.kill(container.pid, signal.SIGSTOP)
        container.status = TaskStatus.PAUSED

    def resume(self, container_id):
        container = self._get(container_id)
        if self._status(container) is not TaskStatus.PAUSED:
            raise Conflict(f"{container_id} isn't paused")
        os.kill(container.pid, signal.SIGCONT)
        container.status = TaskStatus.RUNNING

    def update(self, container_id, resources):
        self.updated.append((self._get(container_id).id, resources))

    def pids(self, container_id):
        state = self.state(container_id)
        return (state.pid,) if state.pid else ()

    def _get(self, container_id):
        if container_id not in self.containers:
            raise NotFound(f"no container {container_id}")
        return self.containers[container_id]

    def _status(self, container):
        try:
            letter = Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            letter = "X"
        return TaskStatus.STOPPED if letter in "ZX" else container.status

    def _fork(self, process, stdio, *, dies_with_parent=True):
        gate_read, gate = os.pipe()
        verdict, verdict_write = os.pipe()
        master, slave = os.openpty() if stdio.terminal else (-1, -1)
        given = (slave,) * 3 if stdio.terminal else (stdio.stdin, stdio.stdout, stdio.stderr)
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                if dies_with_parent:
                    set_parent_death_signal(signal.SIGKILL)
                os.write(verdict_write, b"s")
                if stdio.terminal:
                    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
                for number, each in enumerate(given):
                    os.dup2(each, number)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.close(gate)
                if os.read(gate_read, 1) != b"g":
                    os._exit(1)
                os.chdir(process.get("cwd", "/"))
                environment = dict(each.partition("=")[::2] for each in process.get("env", ()))
                os.execvpe(process["args"][0], process["args"], environment)
            except OSError as error:
                os.write(verdict_write, str(error.errno).encode())
            finally:
                os._exit(1)
        for each in {gate_read, verdict_write, slave} - {-1}:
            os.close(each)
        os.read(verdict, 1)  # it has a session of its own now, which is what everyone is killed by
        return Process(pid, os.pidfd_open(pid), master), gate, verdict

    def _open_gate(self, gate, verdict):
        os.write(gate, b"g")
        os.close(gate)
        with os.fdopen(verdict) as report:
            number = report.read()
        if number:
            cause = OSError(int(number), os.strerror(int(number)))
            raise Invalid(f"can't run it: {cause.strerror}") from cause
