"""A container's life while it is there: started, attached to, stopped, killed, paused, and started again."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress

from moby.contracts.containers import Condition, Status
from moby.contracts.supervisor import Health, HealthStatus, Streams
from moby.contracts.types import TaskStatus, Window
from moby.errors import Conflict, MobyError, NotFound, Unavailable
from moby.oci.programs import telling
from moby_containers.engine import bundle
from moby_containers.engine.checks import signal_number
from moby_containers.engine.ending import Ending
from moby_containers.engine.entries import Entry, Phase
from moby_containers.engine.failures import exit_code
from moby_containers.engine.merge import effective_health
from moby_containers.engine.networking import Networking, at_rest
from moby_containers.engine.parts import Parts, rfc3339
from moby_containers.engine.starting import Starting
from moby_containers.engine.states import Act, after
from moby_containers.engine.waiters import Waiting, begin_to_wait, tell_ended

__all__ = ["Life", "stop_patience_s", "stop_signal"]

_STOP_S = 10
_KILL_PATIENCE_S = 30.0
_FOREVER_S = 10.0 * 365 * 86400


class Life:
    """The verbs that begin and end what a container runs."""

    def __init__(
        self, parts: Parts, starting: Starting, ending: Ending, watch: "Watch", networking: Networking
    ) -> None:
        self._parts = parts
        self._starting = starting
        self._ending = ending
        self._watch = watch
        self._networking = networking
        ending.restart = self.restart_by_policy

    def follow(self, watch: "Watch") -> None:
        """Have somebody else told of tasks."""
        self._watch = watch

    def start(self, entry: Entry, window: Window | None = None) -> bool:
        """Run it; see the contract."""
        with entry.lock:
            if entry.removing or entry.status is Status.REMOVING:
                raise Conflict("container is marked for removal and cannot be started")
            if entry.status is Status.DEAD:
                raise Conflict("container is dead and cannot be started")
            if entry.status is Status.PAUSED:
                raise Conflict("cannot start a paused container, try unpause instead")
            if entry.alive or entry.status is Status.RESTARTING:
                return False
            self._start_anew(entry, window)
        return True

    def start_again(self, entry: Entry, counted: Callable[[Entry], tuple[int, ...] | None]) -> None:
        """Run one that ended while nobody kept its policy, which counts these ends; None where that wants no start."""
        with entry.lock:
            ends = None if entry.status is not Status.EXITED or entry.removing else counted(entry)
            if ends is not None:
                self._start_anew(entry, None, ends)

    def _start_anew(self, entry: Entry, window: Window | None, ends: tuple[int, ...] = ()) -> None:
        entry.backoff_s = 0.0
        entry.show(restart_count=0)
        entry.keep(manually_stopped=False, restarts_ns=ends)
        self._start(entry, window)

    def restart_by_policy(self, entry: Entry, turn: int) -> None:
        """Start a container that waits for it, unless somebody called that off."""
        with entry.lock:
            if entry.turn != turn or entry.status is not Status.RESTARTING or entry.removing:
                return
            try:
                self._start(entry, None)
            except (MobyError, OSError) as error:
                self._parts.log.warning("a container can't be started again", container=entry.id, error=str(error))

    def _start(self, entry: Entry, window: Window | None) -> None:
        parts = self._parts
        entry.turn += 1
        entry.no_restart = False
        try:
            if entry.phase == Phase.ENDED:
                self._starting.clear(entry)
            if entry.phase == Phase.NONE:
                self._starting.prepare(entry, window)
            with telling(bundle.program(entry.container.config)[0]):
                parts.supervisor.start(entry.id)
        except BaseException as error:
            self._failed(entry, error)
            raise
        _end_early(entry)
        now = parts.clock.now_ns()
        entry.phase = Phase.STARTED
        watched = effective_health(entry.container.config.health) is not None
        probed = entry.state.health.results if entry.state.health else ()
        entry.set_state(
            status=after(entry.status, Act.START),
            pid=entry.pid,
            exit_code=0,
            error="",
            oom_killed=False,
            started=rfc3339(now),
            health=Health(HealthStatus.STARTING, results=probed) if watched else None,
        )
        entry.show(sandbox=entry.container.sandbox or f"/proc/{entry.pid}/ns/net")
        entry.keep(started_ns=now)
        parts.shelf.save(entry)
        parts.tell(entry.container, "start")
        self._watch.watch(entry.id)
        self._networking.refresh_linked(entry)

    def _failed(self, entry: Entry, error: BaseException) -> None:
        """Note that a start failed, and why."""
        with suppress(MobyError, OSError):
            self._starting.clear(entry)
        _end_early(entry)
        text = error.message if isinstance(error, MobyError) else str(error)
        waited = entry.status is Status.RESTARTING
        entry.set_state(status=after(entry.status, Act.FAIL), error=text, exit_code=exit_code(error))
        entry.show(endpoints=at_rest(entry.container.endpoints), ports=(), sandbox="")
        self._parts.shelf.save(entry)
        if waited:
            tell_ended(entry)
        if entry.container.config.auto_remove:
            self._ending.remove_later(entry)

    def attach(self, entry: Entry, certain: Callable[[], object] | None = None) -> Streams:
        """Return its streams; see the contract."""
        with entry.lock:
            name = entry.container.name
            if entry.status is Status.PAUSED:
                raise Conflict(f"container {name} is paused, unpause the container before attach")
            if entry.status is Status.RESTARTING:
                raise Conflict(f"container {name} is restarting, wait until the container is running")
            if entry.removing or entry.status in (Status.REMOVING, Status.DEAD):
                raise Conflict(f"container {name} is being removed")
            streams = self._streams(entry, certain)
            # With the lock held, so that it is told before the start that waits for it.
            self._parts.tell(entry.container, "attach")
        return streams

    def attach_again(self, entry: Entry) -> Streams | None:
        """Return its streams where it runs on, or is yet to; see the contract."""
        with entry.lock:
            if entry.alive or entry.phase == Phase.CREATED:
                with suppress(NotFound):
                    return self._parts.supervisor.attach(entry.id)
        return None

    def _streams(self, entry: Entry, certain: Callable[[], object] | None) -> Streams:
        if entry.phase == Phase.ENDED:
            self._starting.clear(entry)
        if entry.phase == Phase.NONE:
            refused: list[BaseException] = []

            def told() -> None:
                try:
                    if certain is not None:
                        certain()
                except BaseException as error:
                    refused.append(error)
                    raise

            try:
                streams = self._starting.prepare(entry, attach=True, certain=told)
            except (MobyError, OSError) as error:
                if error in refused:
                    raise
                # Its start will say why; who attaches before waits for that.
                return _early_streams(entry)
            if streams is not None:
                return streams
        return self._parts.supervisor.attach(entry.id)

    def stop(self, entry: Entry, timeout_s: int | None, signal_name: str, *, manually: bool = True) -> bool:
        """End it; see the contract."""
        number = stop_signal(entry, signal_name)
        patience_s = stop_patience_s(entry, timeout_s)
        with ExitStack() as held:
            with entry.lock:  # so that a start which is under way is over, and it's the end of this run that is told
                if entry.status is Status.RESTARTING:
                    self.give_up(entry)
                    self._parts.tell(entry.container, "stop")
                    return True
                if not entry.alive:
                    return False
                entry.no_restart = True
                if manually:
                    entry.keep(manually_stopped=True)
                    self._parts.shelf.save(entry)
                waiting = held.enter_context(closing(begin_to_wait(entry, Condition.NOT_RUNNING, gone=lambda: False)))
            self.signal(entry, number)
            if not waiting.wait(patience_s):
                self.signal(entry, int(signal.SIGKILL))
                self._wait_killed(entry, waiting)
        self._parts.tell(entry.container, "stop")
        return True

    def _wait_killed(self, entry: Entry, waiting: Waiting) -> None:
        if not waiting.wait(_KILL_PATIENCE_S):
            raise Unavailable(
                f"cannot stop container: {entry.container.name}: tried to kill container, but did not receive an "
                "exit event"
            )

    def give_up(self, entry: Entry, *, manually: bool = True) -> None:
        """Call off the restart that it waits for; with its lock held."""
        entry.turn += 1
        if manually:
            entry.keep(manually_stopped=True)
        entry.set_state(status=after(entry.status, Act.GIVE_UP))
        self._parts.shelf.save(entry)
        tell_ended(entry)

    def signal(self, entry: Entry, number: int) -> None:
        """Send a signal, which a paused one gets too; one that has ended meanwhile is fine."""
        with suppress(Conflict, NotFound):
            self._parts.supervisor.kill(entry.id, number)
            self._parts.tell(entry.container, "kill", signal=str(number))
        with entry.lock:
            if entry.status is Status.PAUSED:
                self._unpause(entry)

    def restart(self, entry: Entry, timeout_s: int | None, signal_name: str) -> None:
        """Stop and start it."""
        with entry.lock:
            if entry.removing:
                raise Conflict("container is marked for removal and cannot be started")
            entry.keeps = True
        try:
            self.stop(entry, timeout_s, signal_name, manually=False)
            self.start(entry)
        finally:
            entry.keeps = False
        self._parts.tell(entry.container, "restart")

    def kill(self, entry: Entry, name: str) -> None:
        """Send a signal; see the contract."""
        number = signal_number(name or "KILL")
        config = entry.container.config
        with entry.lock:
            restarting = entry.status is Status.RESTARTING
            if not entry.alive and not restarting:
                raise Conflict(f"cannot kill container: {entry.container.name}: container {entry.id} is not running")
            last = number == signal.SIGKILL or not config.stop_signal or number == signal_number(config.stop_signal)
            if last and restarting:
                self.give_up(entry)
                return
            if last:
                entry.no_restart = True
            if not entry.keeping.manually_stopped:
                entry.keep(manually_stopped=True)
                self._parts.shelf.save(entry)
            if restarting:
                return  # there is nothing to send it to
            paused = entry.status is Status.PAUSED
        try:
            self._parts.supervisor.kill(entry.id, number)
        except (Conflict, NotFound) as error:
            raise Conflict(
                f"cannot kill container: {entry.container.name}: container {entry.id} is not running"
            ) from error
        self._parts.tell(entry.container, "kill", signal=str(number))
        if paused and last:
            with entry.lock:
                if entry.status is Status.PAUSED:
                    self._unpause(entry)

    def pause(self, entry: Entry) -> None:
        """Freeze it."""
        with entry.lock:
            if entry.status is Status.PAUSED:
                raise Conflict(f"container {entry.id} is already paused")
            if entry.status is Status.RESTARTING:
                raise Conflict(f"container {entry.id} is restarting, wait until the container is running")
            if not entry.alive:
                raise Conflict(f"container {entry.id} is not running")
            self._parts.supervisor.pause(entry.id)
            entry.set_state(status=after(entry.status, Act.PAUSE))
            self._ending.refresh_health(entry)
            self._parts.shelf.save(entry)
            self._parts.tell(entry.container, "pause")

    def unpause(self, entry: Entry) -> None:
        """Thaw it."""
        with entry.lock:
            if entry.status is not Status.PAUSED:
                raise Conflict(f"container {entry.id} is not paused")
            self._unpause(entry)

    def _unpause(self, entry: Entry) -> None:
        try:
            self._parts.supervisor.resume(entry.id)
        except (Conflict, NotFound):
            if self._is_frozen(entry):
                raise  # else it has ended
        entry.set_state(status=after(entry.status, Act.UNPAUSE))
        self._parts.shelf.save(entry)
        self._parts.tell(entry.container, "unpause")

    def _is_frozen(self, entry: Entry) -> bool:
        try:
            return self._parts.supervisor.state(entry.id).status is TaskStatus.PAUSED
        except NotFound:
            return False


def stop_signal(entry: Entry, name: str = "") -> int:
    """Return the signal that is to end it: one of that name, else its own."""
    return signal_number(name or entry.container.config.stop_signal or "TERM")


def stop_patience_s(entry: Entry, timeout_s: int | None = None) -> float:
    """Return how long it may take to end then: that long, else its own time; below 0 as long as it takes."""
    if timeout_s is None:
        timeout_s = entry.container.config.stop_timeout_s
    wanted = _STOP_S if timeout_s is None else timeout_s
    return _FOREVER_S if wanted < 0 else wanted


class Watch:
    """Is told which tasks were started, where nobody keeps a journal."""

    def watch(self, task_id: str) -> None:
        """Note a task."""


def _end_early(entry: Entry) -> None:
    """Tell those who attached before what runs was made that nothing comes of that."""
    for each in entry.early:
        with suppress(OSError):
            os.close(each)
    entry.early.clear()


def _early_streams(entry: Entry) -> Streams:
    """Return streams that stay silent, and end when a start fails, or goes well though what was tried before didn't."""
    read, stdin = os.pipe()
    stdout, write = os.pipe()
    entry.early += [read, write]
    if entry.container.config.terminal:
        return Streams(stdin, stdout, -1)
    stderr, other = os.pipe()
    entry.early.append(other)
    return Streams(stdin, stdout, stderr)
