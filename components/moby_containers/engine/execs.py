"""Further programs in running containers."""

import os
import secrets
from contextlib import suppress
from functools import partial

from moby.contracts.containers import Exec, ExecConfig, Status
from moby.contracts.metadata import Metadata
from moby.contracts.supervisor import Streams, TaskConfig
from moby.contracts.types import Exit, Window
from moby.errors import Conflict, Invalid, NotFound
from moby.oci.programs import NOT_RUNNABLE, telling
from moby.values import evolve
from moby_containers.engine import bundle
from moby_containers.engine.codec import decode, encode
from moby_containers.engine.entries import Entry, Session
from moby_containers.engine.later import Later
from moby_containers.engine.life import Watch
from moby_containers.engine.networking import linked_of
from moby_containers.engine.parts import Parts
from moby_containers.engine.starting import user_of

__all__ = ["Execs", "said"]

_BUCKET = "containers-execs"
_READ_S = 5.0
_STARTED_S = 10.0
"""How long a size waits for the start of what has that terminal, as long as with dockerd."""
_KEPT_S = 300.0
"""How long one that has ended, or was never started, can still be asked about."""


class Execs:
    """The exec sessions of all containers."""

    def __init__(self, parts: Parts, metadata: Metadata, later: Later, watch: Watch) -> None:
        self._parts = parts
        self._bucket = metadata.bucket(_BUCKET)
        self._later = later
        self._watch = watch

    def follow(self, watch: Watch) -> None:
        """Have somebody else told of tasks."""
        self._watch = watch

    def create(self, entry: Entry, config: ExecConfig) -> str:
        """Prepare one."""
        if not config.command or not config.command[0]:
            raise Invalid("No exec command specified")
        with entry.lock:
            _expect_running(entry)
            session = Session(secrets.token_hex(32), entry.id, config, self._parts.clock.now_ns())
            entry.sessions[session.id] = session
            self._parts.shelf.add_session(session)
            entry.show(exec_ids=tuple(entry.sessions))
        self._tell(entry, session, f"exec_create: {said(config.command)}")
        self._later.after(_KEPT_S, partial(self._forget_unstarted, session.id))
        return session.id

    def start(self, exec_id: str, *, detach: bool, window: Window | None) -> Streams | None:
        """Run it; see the contract."""
        session = self._parts.shelf.session(exec_id)
        entry = self._entry(session)
        with entry.lock:
            if session.started:
                raise Conflict(f"Error: Exec command {exec_id} is already running")
            _expect_running(entry)
            session.started = session.held = True
        self._tell(entry, session, f"exec_start: {said(session.config.command)}")
        try:
            return self._run(entry, session, detach=detach, window=window)
        finally:
            with entry.lock:
                session.held = False
                if session.ended:
                    self._delete_later(session)

    def _run(self, entry: Entry, session: Session, *, detach: bool, window: Window | None) -> Streams | None:
        asked = session.config
        if window is not None:
            asked = session.config = evolve(asked, window=window)
        streamed = not detach and (asked.attach_stdin or asked.attach_stdout or asked.attach_stderr)
        task = TaskConfig(
            session.id,
            self._parts.bundle(entry.id),
            entry.container.config.runtime,
            asked.terminal,
            asked.attach_stdin and not detach,
            window=asked.window,
            discard=not streamed,
            attach=streamed,
        )
        try:
            config = entry.container.config
            found, groups = user_of(self._parts.rootfs(entry.id), asked.user or config.user, config.group_add)
            linked = linked_of(entry, self._parts)
            process = bundle.exec_process(entry.container, asked, found, groups, linked)
            self._bucket.put(session.id, {"container": entry.id, "config": encode(asked)})
            with telling(asked.command[0], exec_=True, cwd=str(process["cwd"])):
                state = self._parts.supervisor.exec(entry.id, session.id, process, task)
        except BaseException:
            with entry.lock:
                self._end(entry, session, NOT_RUNNABLE)  # docker's for whatever kept it from running
            self._delete(session.id)
            raise
        with entry.lock:
            session.pid = state.pid
            session.running = not session.ended
            session.settled.set()
        self._watch.watch(session.id)
        if not streamed:
            return Streams(-1, -1, -1) if not detach else None
        return _wanted(state.streams or self._parts.supervisor.attach(session.id), asked)

    def attach_again(self, exec_id: str) -> Streams | None:
        """Return its streams, where they aren't gone; see the contract."""
        session = self._parts.shelf.find_session(exec_id)
        if session is None:
            return None
        with suppress(NotFound):
            return _wanted(self._parts.supervisor.attach(exec_id), session.config)
        return None

    def ended(self, session: Session, exit: Exit) -> None:
        """Take the end of one."""
        try:
            entry = self._entry(session)
        except NotFound:
            return
        with entry.lock:
            if session.ended:
                return
            self._end(entry, session, exit.code)
            if not session.held:
                self._delete_later(session)

    def _end(self, entry: Entry, session: Session, code: int | None) -> None:
        session.running, session.ended, session.exit_code = False, True, code
        session.settled.set()
        entry.sessions.pop(session.id, None)
        entry.show(exec_ids=tuple(entry.sessions))
        self._tell(entry, session, "exec_die", exitCode="unknown" if code is None else str(code))
        for each in session.exit_fds:
            with suppress(OSError):
                os.close(each)
        session.exit_fds.clear()
        entry.ended_sessions.add(session.id)
        self._later.after(_KEPT_S, partial(self._forget, entry.id, session.id))

    def _forget(self, container_id: str, *exec_ids: str) -> None:
        """Let some that have ended be asked about no more."""
        shelf = self._parts.shelf
        entry = shelf.by_id(container_id)
        for each in exec_ids:
            if entry is not None:
                entry.ended_sessions.discard(each)
            session = shelf.find_session(each)
            if session is not None:
                shelf.drop_session(session)

    def _delete_later(self, session: Session) -> None:
        """Delete its task, once those who are attached have had time to read what it wrote."""
        self._later.after(_READ_S, lambda: self._delete(session.id))

    def _delete(self, exec_id: str) -> None:
        with suppress(NotFound):
            self._parts.supervisor.delete(exec_id, force=True)
        self._bucket.delete(exec_id)

    def clear(self, entry: Entry) -> None:
        """Remove what there is of those of a container that is being removed."""
        for each in tuple(entry.sessions.values()):
            if each.started and not each.ended:
                self._end(entry, each, None)
                self._delete(each.id)
        if entry.ended_sessions:  # whose exit codes may still be asked for
            self._later.after(_READ_S, partial(self._forget, entry.id, *entry.ended_sessions))

    def _forget_unstarted(self, exec_id: str) -> None:
        session = self._parts.shelf.find_session(exec_id)
        entry = self._parts.shelf.by_id(session.container_id) if session is not None else None
        if session is None or session.started or entry is None:
            return
        with entry.lock:
            if not session.started:
                entry.sessions.pop(session.id, None)
                entry.show(exec_ids=tuple(entry.sessions))
                self._parts.shelf.drop_session(session)

    def resize(self, exec_id: str, window: Window) -> None:
        """Tell its terminal the size, also where it's just about to run: whoever asked for that may be ahead of it."""
        session = self._parts.shelf.session(exec_id)
        session.settled.wait(_STARTED_S)
        if not session.running:
            raise Conflict(f"exec {exec_id} is not running")
        try:
            self._parts.supervisor.resize(exec_id, window)
        except NotFound as error:
            raise Conflict(f"exec {exec_id} is not running") from error

    def get(self, exec_id: str) -> Exec:
        """Return it as it is shown."""
        each = self._parts.shelf.session(exec_id)
        return Exec(each.id, each.container_id, each.config, each.running, each.exit_code, each.pid)

    def exit_fd(self, exec_id: str) -> int:
        """Return a descriptor that becomes readable at its end."""
        session = self._parts.shelf.session(exec_id)
        entry = self._parts.shelf.by_id(session.container_id)
        read, write = os.pipe()
        if entry is None:
            os.close(write)
            return read
        with entry.lock:
            if session.ended:
                os.close(write)
            else:
                session.exit_fds.append(write)
        return read

    def recover(self, running: dict[str, int]) -> None:
        """Find again those that go on, by the pids of all tasks."""
        for exec_id, document in self._bucket.items():
            entry = self._parts.shelf.by_id(str(document["container"]))
            if entry is None or not entry.alive or exec_id not in running:
                self._delete_lost(exec_id)
                continue
            config = decode(ExecConfig, document["config"])
            session = Session(exec_id, entry.id, config, 0, running=True, started=True, pid=running[exec_id])
            session.settled.set()
            entry.sessions[exec_id] = session
            entry.show(exec_ids=tuple(entry.sessions))
            self._parts.shelf.add_session(session)

    def _delete_lost(self, exec_id: str) -> None:
        """Delete one whose engine was killed; what that had asked for may still come to be, so it is done twice."""
        with suppress(NotFound):
            self._parts.supervisor.delete(exec_id, force=True)
        self._later.after(_READ_S, lambda: self._delete(exec_id))

    def _entry(self, session: Session) -> Entry:
        entry = self._parts.shelf.by_id(session.container_id)
        if entry is None:
            raise NotFound(f"No such exec instance: {session.id}")
        return entry

    def _tell(self, entry: Entry, session: Session, action: str, **more: str) -> None:
        self._parts.tell(entry.container, action, {"execID": session.id, **more})


def said(command: tuple[str, ...]) -> str:
    """Return what an exec runs as docker's events say it: with a space after the program, whatever follows."""
    return f"{command[0]} {' '.join(command[1:])}"


def _expect_running(entry: Entry) -> None:
    name = entry.container.name
    if entry.status is Status.PAUSED:
        raise Conflict(f"container {name} is paused, unpause the container before exec")
    if entry.status is Status.RESTARTING:
        raise Conflict(f"container {name} is restarting, wait until the container is running")
    if not entry.alive or entry.removing:
        raise Conflict(f"container {entry.id} is not running")


def _wanted(streams: Streams, asked: ExecConfig) -> Streams:
    """Return the streams that were asked for, with the others closed."""
    if asked.terminal:
        if not asked.attach_stdin and streams.stdin >= 0:
            os.close(streams.stdin)
            return Streams(-1, streams.stdout, -1)
        return streams
    kept = []
    for fd, keep in (
        (streams.stdin, asked.attach_stdin),
        (streams.stdout, asked.attach_stdout),
        (streams.stderr, asked.attach_stderr),
    ):
        if fd >= 0 and not keep:
            os.close(fd)
        kept.append(fd if keep else -1)
    return Streams(*kept)
