"""How containers end: what their ends mean for them, by their restart policies, and how they are removed."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from moby.contracts.containers import Condition, Container, RestartPolicy, Status
from moby.contracts.supervisor import HealthResult, HealthStatus
from moby.contracts.types import Exit
from moby.errors import Conflict, MobyError, NotFound, Unavailable
from moby.values import evolve
from moby_containers.engine import points
from moby_containers.engine.clearing import Clearing
from moby_containers.engine.entries import Entry, Phase
from moby_containers.engine.failures import NOT_NOW
from moby_containers.engine.later import Later
from moby_containers.engine.merge import effective_health
from moby_containers.engine.networking import at_rest
from moby_containers.engine.parts import Parts, rfc3339
from moby_containers.engine.starting import Starting
from moby_containers.engine.states import Act, after
from moby_containers.engine.waiters import Waiting, begin_to_wait, tell_ended, tell_removed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Ending", "counting", "wants_restart"]

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 60.0
_FIRST_REMOVAL_S, _LONGEST_REMOVAL_S = 0.5, 32.0
"""How long a removal that failed waits for another try, as until there is room on a disk."""
_LONG_RUN_NS = 10 * 10**9
_KILL_PATIENCE_S = 10.0
_KILL = 9
_RESULTS = 5
"""How many results of probes are shown."""


def counting(policy: RestartPolicy, restarts_ns: tuple[int, ...], end_ns: int) -> tuple[int, ...]:
    """Return which of the ends that were followed by a start count at another one."""
    return tuple(each for each in restarts_ns if not policy.window_ns or each > end_ns - policy.window_ns)


def wants_restart(container: Container, *, counted: int, manually: bool) -> bool:
    """Whether its policy asks for another start after an end."""
    policy, code = container.config.restart, container.state.exit_code
    if policy.attempts and counted >= policy.attempts:
        return False
    if policy.name == "always":
        return True
    if policy.name == "unless-stopped":
        return not manually
    if policy.name == "on-failure":
        return code != 0 and (not policy.maximum_retries or container.restart_count < policy.maximum_retries)
    return False


class Ending:
    """Takes what the supervisor tells of ends."""

    def __init__(self, parts: Parts, starting: Starting, later: Later) -> None:
        self._parts = parts
        self._starting = starting
        self._later = later
        self.clearing = Clearing(parts, starting, later)
        self.restart = _nothing
        """Starts a container again whose turn has come; the service sets it."""
        self.clear_execs: Callable[[Entry], None] = _leave
        """Removes what there is of a container's execs; the service sets it."""
        self.keeps_all = False
        """Whether restart policies are kept of all containers; else just of those that this engine has started."""

    def ended(self, entry: Entry, exit: Exit, *, position: int = 0) -> None:
        """Take a container's end; where it can't be written down, nothing has changed, and the caller tries again."""
        with entry.lock:
            if not entry.alive or self._is_older(entry, exit):
                self._parts.shelf.reach(position)
                return
            ran_ns = max(0, exit.time_ns - entry.keeping.started_ns)
            with entry.or_as_before():
                again = self._note(entry, exit, ran_ns)
                goes = not again and _goes_at_once(entry) and self._struck(entry, position)
                if not goes:
                    self._parts.shelf.save(entry, position=position)
            code = "unknown" if exit.code is None else str(exit.code)
            self._starting.leave_networks(entry)  # first, so that who waited for its end finds its ports free
            self._tell(entry, "die", execDuration=str(ran_ns // 10**9), exitCode=code)
            tell_ended(entry)
            if goes:
                self._go(entry)
            else:
                self._go_on(entry, again=again)

    def _note(self, entry: Entry, exit: Exit, ran_ns: int) -> bool:
        """Have it be one that has ended; return whether it is to be started again."""
        self._look_no_more(entry)
        entry.set_state(exit_code=exit.code)
        counted = counting(entry.container.config.restart, entry.keeping.restarts_ns, exit.time_ns)
        kept = self.keeps_all or entry.begun_ns > 0
        again = (
            kept
            and not entry.no_restart
            and wants_restart(entry.container, counted=len(counted), manually=entry.keeping.manually_stopped)
        )
        entry.set_state(
            status=after(entry.status, Act.END_TO_RESTART if again else Act.END),
            pid=0,
            finished=rfc3339(exit.time_ns),
            oom_killed=entry.state.oom_killed or exit.oom_killed,
        )
        entry.keep(finished_ns=exit.time_ns)
        entry.phase = Phase.ENDED
        entry.show(sandbox="", endpoints=at_rest(entry.container.endpoints), ports=())
        if again:
            self._count(entry, ran_ns)
            if entry.container.config.restart.attempts:
                entry.keep(restarts_ns=(*counted, exit.time_ns))
        return again

    def _look_no_more(self, entry: Entry) -> None:
        """Keep the last probes; as with docker, what isn't probed any more is unhealthy, and no event says so."""
        self.refresh_health(entry)
        if entry.state.health is not None:
            entry.set_state(health=evolve(entry.state.health, status=HealthStatus.UNHEALTHY))

    def _is_older(self, entry: Entry, exit: Exit) -> bool:
        """Whether this was another task of that container: one that failed to start, say."""
        if exit.time_ns >= entry.begun_ns > 0:
            return False
        try:
            return self._parts.supervisor.state(entry.id).exit is None
        except NotFound:
            return False

    def _count(self, entry: Entry, ran_ns: int) -> None:
        entry.show(restart_count=entry.container.restart_count + 1)
        if delay_ns := entry.container.config.restart.delay_ns:
            entry.backoff_s = delay_ns / 10**9
            return
        long = ran_ns >= _LONG_RUN_NS
        entry.backoff_s = (
            _FIRST_BACKOFF_S if long or not entry.backoff_s else min(entry.backoff_s * 2, _LONGEST_BACKOFF_S)
        )

    def _struck(self, entry: Entry, position: int) -> bool:
        """Take one that has ended off the disk; False where that can't be just now, and is tried again then."""
        try:
            self._parts.shelf.strike(entry, position=position)
        except NOT_NOW:
            return False
        return True

    def _go(self, entry: Entry) -> None:
        """Have one that is off the disk be gone for everybody, and what is left of it go next."""
        entry.removing = True
        entry.turn += 1
        entry.set_state(status=after(entry.status, Act.REMOVE))
        self.clear_execs(entry)
        self.clearing.begin(entry)
        self._tell_gone(entry)
        self._later.soon(lambda: self.clearing.clear(entry))

    def _go_on(self, entry: Entry, *, again: bool) -> None:
        turn = entry.turn
        if again:
            self._later.soon(lambda: self._clear(entry))
            self._later.after(entry.backoff_s, lambda: self.restart(entry, turn))
        elif entry.container.config.auto_remove and not entry.keeps:
            self._later.soon(lambda: self._remove_ended(entry))
        else:
            self._later.soon(lambda: self._clear(entry))

    def _clear(self, entry: Entry) -> None:
        with entry.lock:
            if entry.phase == Phase.ENDED and not entry.alive and not entry.removing:
                self._starting.clear(entry)

    def remove_later(self, entry: Entry) -> None:
        """Remove one that is to go after its end."""
        self._later.soon(lambda: self._remove_ended(entry))

    def _remove_ended(self, entry: Entry, wait_s: float = _FIRST_REMOVAL_S) -> None:
        if self._parts.shelf.by_id(entry.id) is not entry:
            return  # somebody has removed it since it couldn't be
        volumes = any(each.volume for each in entry.keeping.points)
        try:
            self.remove(entry, force=True, volumes=True, whole=volumes)
        except Conflict:
            if not entry.removing:
                raise
        except NOT_NOW:
            longer_s = min(2 * wait_s, _LONGEST_REMOVAL_S)
            self._later.after(wait_s, lambda: self._remove_ended(entry, longer_s))
            if wait_s == _FIRST_REMOVAL_S:
                raise  # it is logged once
        else:
            if not volumes:
                self.clearing.clear(entry)

    def oom(self, entry: Entry, *, position: int = 0) -> None:
        """Take that the kernel has killed something for want of memory."""
        with entry.lock:
            entry.set_state(oom_killed=True)
            self._parts.shelf.save(entry, position=position)
            self._parts.tell(entry.container, "oom")

    def health(self, entry: Entry, status: HealthStatus, *, position: int = 0) -> None:
        """Take that a container is well, or no more."""
        with entry.lock:
            if entry.alive:
                self.refresh_health(entry)
                self._parts.shelf.save(entry, position=position)
                self._parts.tell(entry.container, f"health_status: {status}")
            else:
                self._parts.shelf.reach(position)

    def refresh_health(self, entry: Entry) -> None:
        """Take over the health that the supervisor knows, of one that has a health check.

        The supervisor knows of this run alone; as with docker, the last results of earlier ones stay among the last.
        """
        if effective_health(entry.container.config.health) is None:
            return
        try:
            found = self._parts.supervisor.state(entry.id).health
        except MobyError:
            return
        if found.status is not HealthStatus.NONE:  # as of one that ended before anybody probed it
            before = entry.state.health.results if entry.state.health else ()
            entry.set_state(health=evolve(found, results=_together(before, found.results)))

    def remove(self, entry: Entry, *, force: bool, volumes: bool, whole: bool = True) -> None:
        """Remove a container; see the contract. One that isn't removed `whole` is then to be cleared by the caller."""
        with entry.lock:
            self._refuse(entry, force=force)
            entry.removing = True
            entry.turn += 1
            entry.no_restart = True
            waiting = self._waiting(entry)
        try:
            if waiting is not None:
                self._kill(entry, waiting)
            with entry.lock:
                if whole:
                    self._take_apart(entry, volumes=volumes)
                else:
                    self._take_away(entry)
        except BaseException as error:
            with entry.lock:
                entry.removing = False
                if entry.status is Status.REMOVING:
                    entry.set_state(status=after(entry.status, Act.REMOVAL_FAILS), dead=True, error=str(error))
                    with suppress(*NOT_NOW):  # a later engine finds it as one that has ended
                        self._parts.shelf.save(entry)
                tell_removed(entry, str(error))
            raise

    def _refuse(self, entry: Entry, *, force: bool) -> None:
        name = entry.container.name
        if entry.removing:
            raise Conflict(f"removal of container {name} is already in progress")
        if force or not (entry.alive or entry.status is Status.RESTARTING):
            return
        states = {
            Status.PAUSED: "container is paused and must be unpaused first",
            Status.RUNNING: "container is running: stop the container before removing or force remove",
            Status.RESTARTING: "container is restarting: stop the container before removing or force remove",
        }
        raise Conflict(f'cannot remove container "{name}": {states[entry.status]}')

    def _waiting(self, entry: Entry) -> Waiting | None:
        if not entry.alive:
            return None
        return begin_to_wait(entry, Condition.NOT_RUNNING, gone=lambda: False)

    def _kill(self, entry: Entry, waiting: Waiting) -> None:
        try:
            try:
                self._parts.supervisor.kill(entry.id, _KILL)
                self._tell(entry, "kill", signal=str(_KILL))
                if entry.status is Status.PAUSED:
                    self._parts.supervisor.resume(entry.id)
            except (Conflict, NotFound):
                pass  # it has ended meanwhile
            if not waiting.wait(_KILL_PATIENCE_S):
                self._end_by_force(entry)
            if not waiting.wait(0):
                raise Unavailable(
                    f"cannot remove container {entry.container.name}: tried to kill container, but did not receive an "
                    "exit event"
                )
        finally:
            waiting.close()

    def _end_by_force(self, entry: Entry) -> None:
        """Have the supervisor end what a signal doesn't, such as one that something has frozen."""
        try:
            how = self._parts.supervisor.delete(entry.id, force=True)
        except NotFound:
            how = None
        self.ended(entry, how or Exit(None, self._parts.clock.now_ns()))

    def _take_apart(self, entry: Entry, *, volumes: bool) -> None:
        """Remove all there is of a container. Once it is off the disk, what is left goes at the next start at last."""
        parts = self._parts
        entry.set_state(status=after(entry.status, Act.REMOVE))
        if any(each.volume for each in entry.keeping.points):
            entry.keep(with_volumes=volumes)
            parts.shelf.save(entry)
        self.clear_execs(entry)
        self._starting.clear(entry)
        failed = points.release(entry.keeping.points, entry.id, parts.volumes, with_anonymous=volumes)
        if failed:
            raise failed[0]
        parts.shelf.strike(entry)
        parts.images.release(entry.id)
        parts.remove_folders(entry.id)
        self._tell_gone(entry)

    def _take_away(self, entry: Entry) -> None:
        """Have one that has ended, and has no volumes, be gone for everybody, before what is left of it."""
        entry.set_state(status=after(entry.status, Act.REMOVE))
        self.clear_execs(entry)
        self._parts.shelf.strike(entry)
        self.clearing.begin(entry)
        self._tell_gone(entry)

    def _tell_gone(self, entry: Entry) -> None:
        """Let nobody find it any more."""
        self._parts.shelf.drop(entry)
        self._tell(entry, "destroy")
        tell_removed(entry)

    def _tell(self, entry: Entry, action: str, **more: Any) -> None:
        """Publish what has happened. It has, too, where that can't be published just now."""
        try:
            self._parts.tell(entry.container, action, **more)
        except (MobyError, OSError) as error:
            self._parts.log.warning(
                "nobody can be told what happened to a container", container=entry.id, action=action, error=str(error)
            )


def _together(before: tuple[HealthResult, ...], new: tuple[HealthResult, ...]) -> tuple[HealthResult, ...]:
    """Return the last results of what was known before and what is known now, which may begin with some of those."""
    older = [each for each in before if not new or each.start_ns < new[0].start_ns]
    return (*older, *new)[-_RESULTS:]


def _goes_at_once(entry: Entry) -> bool:
    """Whether one that has just ended is gone with that: one of --rm that this engine has started, and none waits for.

    It has no volumes, and no execs that are to be ended before.
    """
    wanted = entry.container.config.auto_remove and not entry.keeps and not entry.removing
    bare = not entry.sessions and not any(each.volume for each in entry.keeping.points)
    return wanted and bare and entry.begun_ns > 0


def _leave(entry: Entry) -> None:
    """Do nothing."""


def _nothing(entry: Entry, turn: int) -> None:
    """Do nothing."""
