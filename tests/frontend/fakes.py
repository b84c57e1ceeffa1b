"""Containers that are programs of this machine: to control what happens, and when."""

import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path

from attrs import evolve
from frontend.programs import Program

from moby.contracts.containers import (
    Container,
    Created,
    Ended,
    Exec,
    FileStat,
    LogChoice,
    Sizes,
    State,
    Status,
)
from moby.contracts.events import Event
from moby.contracts.networks import Endpoint
from moby.contracts.runtime import Stats
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable, Unsupported

IMAGE = "sha256:" + "a" * 64
MADE = "2026-01-02T03:04:05.600000000Z"


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000000001Z"


class Waiter:
    def __init__(self):
        self.fd = os.eventfd(0)
        self.ended = None

    def fileno(self):
        return self.fd

    def end(self, ended):
        self.ended = ended
        os.eventfd_write(self.fd, 1)

    def result(self):
        return self.ended

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class FakeContainers:
    """See the contract; what it lacks raises, so that no test takes it for there."""

    def __init__(self, events):
        self.events = events
        self.all = {}
        self.programs = {}
        self.execs = {}
        self.waiters = []
        self.paths = {}
        self.written = []
        self.calls = []
        self.again = []
        """Streams that go on where others were cut."""
        self.hesitates = False
        """Whether attaching fails once the client goes on."""
        self.lock = threading.RLock()

    def create(self, config, name=""):
        if config.image not in {"box", "localhost/box", IMAGE}:
            raise NotFound(f"No such image: {config.image}:latest")
        for each in config.volumes_from:
            self.get(each)
        with self.lock:
            identity = secrets.token_hex(32)
            name = name or f"box_{len(self.all)}"
            for each in self.all.values():
                if each.name == name:
                    raise Conflict(
                        f'Conflict. The container name "/{name}" is already in use by container "{each.id}".'
                    )
            words = (*(config.entrypoint or ()), *(config.command or ("true",)))
            config = evolve(config, log=config.log if config.log.driver else LogChoice("json-file"))
            place = Endpoint("n" * 64, "none")
            self.all[identity] = Container(
                identity,
                name,
                now(),
                config,
                IMAGE,
                words[0],
                words[1:],
                State(),
                endpoints=(place,),
                rootfs=Path("/run/aa/rootfs"),
            )
            self.programs[identity] = Program(
                words, terminal=config.terminal, stdin=config.open_stdin, environment=config.environment
            )
            self._tell(identity, "create")
            return Created(identity, ("a warning",) if "warn" in config.labels else ())

    def _tell(self, identity, action, **more):
        container = self.all[identity]
        attributes = {**container.config.labels, "image": container.config.image, "name": container.name, **more}
        self.events.publish(Event("container", action, identity, attributes))

    def _id(self, name):
        with self.lock:
            named = [each.id for each in self.all.values() if each.name == name.removeprefix("/")]
            found = named or [each.id for each in self.all.values() if each.id.startswith(name)]
        if found:
            return found[0]
        raise NotFound(f"No such container: {name}")

    def get(self, name):
        return self.all[self._id(name)]

    def list(self):
        return tuple(reversed(self.all.values()))

    def sizes(self, name):
        self._id(name)
        return Sizes(3, 10)

    def set(self, name, **state):
        identity = self._id(name)
        self.all[identity] = evolve(self.all[identity], state=evolve(self.all[identity].state, **state))

    def start(self, name, *, window=None):
        identity = self._id(name)
        program = self.programs[identity]
        if self.get(name).state.status is Status.RUNNING:
            return False
        if program.process is not None:
            config = self.get(name).config
            program = self.programs[identity] = Program(program.argv, terminal=config.terminal, stdin=config.open_stdin)
        try:
            program.start()
        except OSError as error:
            text = f'exec: "{program.argv[0]}": executable file not found in $PATH: unknown'
            self.set(name, error=text, exit_code=127)
            program.give_up()
            with self.lock:
                self._wake(identity, {"not-running", "next-exit"}, Ended(127, text))
                if self.get(name).config.auto_remove:
                    self.remove(identity)
            raise Invalid(text) from error
        self.set(name, status=Status.RUNNING, pid=program.process.pid, started=now())
        self._tell(identity, "start")
        threading.Thread(target=self._watch, args=(identity, program), daemon=True).start()
        return True

    def _watch(self, identity, program):
        program.ended.wait()
        with self.lock:
            self.set(identity, status=Status.EXITED, pid=0, exit_code=program.code, finished=now())
            self._tell(identity, "die", exitCode=str(program.code))
            self._wake(identity, {"not-running", "next-exit"}, Ended(program.code))
            if self.all[identity].config.auto_remove:
                self.remove(identity)

    def _wake(self, identity, conditions, ended):
        for each in list(self.waiters):
            if each[0] == identity and each[1] in conditions:
                self.waiters.remove(each)
                with suppress(OSError, ValueError):  # who waited may have gone
                    each[2].end(ended)

    def wait(self, name, condition="not-running"):
        with self.lock:
            identity, waiter = self._id(name), Waiter()
            state = self.all[identity].state
            if condition == "not-running" and state.status in {Status.EXITED, Status.CREATED}:
                waiter.end(Ended(state.exit_code, state.error))
            else:
                self.waiters.append((identity, condition, waiter))
            return waiter

    def stop(self, name, *, timeout_s=None, signal=""):
        self.calls.append(("stop", timeout_s, signal))
        identity = self._id(name)
        if self.get(name).state.status is not Status.RUNNING:
            return False
        program = self.programs[identity]
        program.process.kill()
        program.ended.wait(60)
        while self.all.get(identity) and self.get(identity).state.status is Status.RUNNING:
            time.sleep(0.001)
        return True

    def restart(self, name, *, timeout_s=None, signal=""):
        self.stop(name, timeout_s=timeout_s, signal=signal)
        self.start(name)

    def kill(self, name, signal="KILL"):
        container = self.get(name)
        if signal == "XX":
            raise Invalid("invalid signal: XX")
        if container.state.status is not Status.RUNNING:
            raise Conflict(f"container {container.id} is not running")
        self.programs[container.id].process.kill()

    def pause(self, name):
        container = self.get(name)
        if container.state.status is Status.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        self.set(name, status=Status.PAUSED)

    def unpause(self, name):
        container = self.get(name)
        if container.state.status is not Status.PAUSED:
            raise Conflict(f"Container {container.id} is not paused")
        self.set(name, status=Status.RUNNING)

    def rename(self, name, new):
        identity = self._id(name)
        self.all[identity] = evolve(self.all[identity], name=new)

    def connect(self, name, network, config):
        self._reach(network)
        self.calls.append(("connect", self._id(name), network, config))

    def disconnect(self, name, network, *, force=False):
        self._reach(network)
        self.calls.append(("disconnect", self._id(name), network, force))

    def _reach(self, network):
        if network == "host":
            raise Unsupported("container cannot be disconnected from host network or connected to host network")

    def update(self, name, change):
        self._id(name)
        self.calls.append(("update", change))
        return ("a warning",)

    def attach(self, name, certain=None):
        container = self.get(name)
        if self.hesitates:
            certain()
            raise Unavailable("nobody is there to be attached to")
        if container.state.status in {Status.EXITED, Status.DEAD}:
            raise Conflict("You cannot attach to a stopped container, start it first")
        return self.programs[container.id].attach()

    def logs(self, name, query):
        container = self.get(name)
        if container.config.log.driver == "none":
            raise Unsupported("configured logging driver does not support reading")
        self.calls.append(("logs", query))
        reading, writing = os.pipe()
        threading.Thread(
            target=self._write_log, args=(self.programs[container.id], query, writing), daemon=True
        ).start()
        return reading

    def _write_log(self, program, query, fd):
        sent = 0
        with suppress(OSError):
            while True:
                ended = program.ended.is_set() or not query.follow
                records = program.records(query)
                for each in records[sent:]:
                    os.write(fd, each)
                sent = len(records)
                if ended:
                    break
                time.sleep(0.005)
        os.close(fd)

    def resize(self, name, window):
        container = self.get(name)
        if container.state.status is not Status.RUNNING:
            raise Conflict(f"container {container.id} is not running")
        if not container.config.terminal:
            raise Conflict("it has no terminal")
        self.programs[container.id].resize(window)

    def top(self, name, arguments=""):
        if self.get(name).state.status is not Status.RUNNING:
            raise Conflict(f"container {self._id(name)} is not running")
        return ("UID", "PID"), (("root", arguments or "1"),)

    def stats(self, name):
        if self.get(name).state.status is not Status.RUNNING:
            return None
        return Stats(time.time_ns(), cpu_ns=5, memory_bytes=7, memory_limit_bytes=9, pids=1)

    def changes(self, name):
        self._id(name)
        return ((1, "/new"), (0, "/etc"), (2, "/old"))

    def export(self, name):
        self._id(name)
        yield b"tar"
        yield b"ball"

    def stat_path(self, name, path):
        if path not in self.paths:
            raise NotFound(f"Could not find the file {path} in container {name}")
        return FileStat(Path(path).name, len(self.paths[path]), 0o100644, 1_000_000_000)

    def read_path(self, name, path):
        yield self.paths[path]

    def write_path(self, name, path, archive, *, keep_types=False, keep_owners=False):
        self._id(name)
        if path == "/read-only":
            raise Denied("container rootfs is marked read-only")
        size = 0
        while chunk := archive.read(65536):
            size += len(chunk)
        self.written.append((path, size, keep_types, keep_owners))

    def commit(self, name, reference="", **options):
        self._id(name)
        self.calls.append(("commit", reference, options))
        return IMAGE

    def remove(self, name, *, force=False, volumes=False):
        container = self.get(name)
        self.calls.append(("remove", force, volumes))
        if container.state.status is Status.RUNNING:
            if not force:
                raise Conflict(f'cannot remove container "/{container.name}": container is running')
            self.stop(name)
        with self.lock:
            if container.id in self.all:
                self._tell(container.id, "destroy")
                del self.all[container.id]
                self._wake(
                    container.id, {"removed"}, Ended(self.programs[container.id].code or container.state.exit_code)
                )

    def prune(self, wanted):
        gone = [each.id for each in self.list() if each.state.status is not Status.RUNNING and wanted(each)]
        for each in gone:
            del self.all[each]
        return tuple(gone), 7 * len(gone)

    def exec_create(self, name, config):
        container = self.get(name)
        if container.state.status is Status.PAUSED:
            raise Conflict(f"Container {name} is paused, unpause the container before exec")
        if container.state.status is not Status.RUNNING:
            raise Conflict(f"container {container.id} is not running")
        identity = secrets.token_hex(32)
        program = Program(config.command, terminal=config.terminal, stdin=config.attach_stdin)
        self.execs[identity] = (Exec(identity, container.id, config), program)
        return identity

    def exec_start(self, exec_id, *, detach=False, window=None):
        session, program = self._exec(exec_id)
        if program.process is not None:
            raise Conflict(f"Error: Exec command {exec_id} has already run")
        streams = None if detach else program.attach()
        if window and session.config.terminal:
            program.resize(window)
        try:
            program.start()
        except OSError as error:
            program.code = 127
            program.give_up()
            for fd in {streams.stdin, streams.stdout, streams.stderr} - {-1} if streams else ():
                os.close(fd)
            raise Invalid(f'exec: "{program.argv[0]}": executable file not found in $PATH: unknown') from error
        return streams

    def _exec(self, exec_id):
        if exec_id not in self.execs:
            raise NotFound(f"No such exec instance: {exec_id}")
        return self.execs[exec_id]

    def exec_resize(self, exec_id, window):
        _, program = self._exec(exec_id)
        if program.process is None or program.ended.is_set():
            raise Conflict("not running")
        program.resize(window)

    def exec_get(self, exec_id):
        session, program = self._exec(exec_id)
        running = program.process is not None and not program.ended.is_set()
        pid = program.process.pid if program.process else 0
        return evolve(session, running=running, exit_code=program.code, pid=pid)

    carried_by = 1

    def carrier(self):
        return self.carried_by

    def attach_again(self, id):
        return self.again.pop(0) if self.again else None

    def exec_exit_fd(self, exec_id):
        _, program = self._exec(exec_id)
        fd = os.eventfd(0)
        threading.Thread(target=lambda: (program.ended.wait(), os.eventfd_write(fd, 1)), daemon=True).start()
        return os.dup(fd)

    def used_images(self):
        return [(each.id, each.image_id) for each in self.list()]

    def close(self):
        for each in [*self.programs.values(), *(program for _, program in self.execs.values())]:
            each.close()
        for _, _, waiter in self.waiters:
            waiter.close()
