"""Mutants of what keeps containers: each breaks one promise of the contract, and names the test that must see it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, BinaryIO

from moby.contracts.containers import (
    Condition,
    Container,
    ContainerConfig,
    ContainerUpdate,
    Created,
    Ended,
    Exec,
    ExecConfig,
    FileStat,
    State,
    Status,
)
from moby.contracts.log_driver import LogQuery
from moby.contracts.runtime import Stats
from moby.contracts.supervisor import HealthStatus, Streams
from moby.contracts.types import Window
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.testing.containers_world import close
from moby.testing.mutants import Broken, Mutant, forgives
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Any]


class _Shows(_Broken):
    """Shows containers otherwise than they are."""

    def shown(self, container: Container) -> Container:
        """Return what is shown."""
        return container

    def get(self, name: str) -> Container:
        """Show one."""
        return self.shown(self.inner.get(name))

    def list(self) -> tuple[Container, ...]:
        """Show all."""
        return tuple(self.shown(each) for each in self.inner.list())


def _state(change: Callable[[State], State]) -> type[_Shows]:
    class Shows(_Shows):
        def shown(self, container: Container) -> Container:
            return evolve(container, state=change(container.state))

    return Shows


def _as_it_was(state: State) -> State:
    ended = state.health is not None and state.status is Status.EXITED
    return evolve(state, health=evolve(state.health, status=HealthStatus.HEALTHY)) if ended else state


def _without_results(state: State) -> State:
    starting = state.health is not None and state.health.status is HealthStatus.STARTING
    return evolve(state, health=evolve(state.health, results=())) if starting else state


def _as_before_the_pause(state: State) -> State:
    paused = state.health is not None and state.status is Status.PAUSED
    return evolve(state, health=evolve(state.health, status=HealthStatus.HEALTHY)) if paused else state


class _ForgetsLabels(_Shows):
    def shown(self, container: Container) -> Container:
        return evolve(container, config=evolve(container.config, labels={}))


class _NeverCountsRestarts(_Shows):
    def shown(self, container: Container) -> Container:
        return evolve(container, restart_count=0)


class _OldestFirst(_Broken):
    def list(self) -> tuple[Container, ...]:
        found: tuple[Container, ...] = self.inner.list()
        return found[::-1]


class _WholeIdsOnly(_Broken):
    def get(self, name: str) -> Container:
        found: Container = self.inner.get(name)
        if name.strip("/") not in (found.id, found.name):
            raise NotFound(f"No such container: {name}")
        return found


class _NamesAll(_Broken):
    def create(self, config: ContainerConfig, name: str = "") -> Created:
        made: Created = self.inner.create(config, name or f"box{os.urandom(4).hex()}")
        return made


class _TakesAnyName(_Broken):
    def create(self, config: ContainerConfig, name: str = "") -> Created:
        try:
            made: Created = self.inner.create(config, name)
        except (Conflict, Invalid):
            made = self.inner.create(config)
        return made


class _KeepsTheNameOfAFailure(_Broken):
    def create(self, config: ContainerConfig, name: str = "") -> Created:
        try:
            made: Created = self.inner.create(config, name)
        except NotFound:
            self.inner.create(ContainerConfig("box", ("true",)), name)
            raise
        return made


class _StartsTwice(_Broken):
    def start(self, name: str, *, window: Window | None = None) -> bool:
        self.inner.start(name, window=window)
        return True


class _KillsAtOnce(_Broken):
    def stop(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> bool:
        done: bool = self.inner.stop(name, timeout_s=0, signal="KILL")
        return done


class _IgnoresItsSignal(_Broken):
    def stop(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> bool:
        done: bool = self.inner.stop(name, timeout_s=0, signal=signal or "TERM")
        return done


class _KillsInstead(_Broken):
    def kill(self, name: str, signal: str = "KILL") -> None:
        self.inner.kill(name)


class _StopsInstead(_Broken):
    def restart(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        self.inner.stop(name, timeout_s=timeout_s, signal=signal)


class _NeverLetsWait(_Broken):
    """Starts at once what waits for its restart."""

    def start(self, name: str, *, window: Window | None = None) -> bool:
        if self.inner.get(name).state.status is Status.RESTARTING:
            self.inner.stop(name)
        found: bool = self.inner.start(name, window=window)
        return found


class _NeverPauses(_Broken):
    def pause(self, name: str) -> None:
        self.inner.get(name)


class _WaitsForNothing(_Broken):
    def wait(self, name: str, condition: Condition = Condition.NOT_RUNNING) -> Any:
        return self.inner.wait(name, Condition.NOT_RUNNING)


class _WaitsForTheNext(_Broken):
    def wait(self, name: str, condition: Condition = Condition.NOT_RUNNING) -> Any:
        return self.inner.wait(name, Condition.NEXT_EXIT)


class _Zero(_Broken):
    class Waiter(_Broken):
        def result(self) -> Ended:
            self.inner.result()
            return Ended(0)

    def wait(self, name: str, condition: Condition = Condition.NOT_RUNNING) -> Any:
        return self.Waiter(self.inner.wait(name, condition))


class _RemovesAnything(_Broken):
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        self.inner.remove(name, force=True, volumes=volumes)


class _RemovesByNoForce(_Broken):
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        self.inner.remove(name, volumes=volumes)


class _NeverRemoves(_Broken):
    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        self.inner.get(name)


class _StaysThere(_Broken):
    def create(self, config: ContainerConfig, name: str = "") -> Created:
        made: Created = self.inner.create(evolve(config, auto_remove=False), name)
        return made


class _PrunesAll(_Broken):
    def prune(self, wanted: Callable[[Container], bool]) -> tuple[tuple[str, ...], int]:
        found: tuple[tuple[str, ...], int] = self.inner.prune(lambda _: True)
        return found


class _AlwaysRestarts(_Broken):
    def create(self, config: ContainerConfig, name: str = "") -> Created:
        policy = evolve(config.restart, name="always", maximum_retries=0) if config.restart.name != "no" else None
        made: Created = self.inner.create(evolve(config, restart=policy) if policy else config, name)
        return made


class _AttachesLate(_Broken):
    """Attaches once it has ended, where somebody starts it meanwhile."""

    def attach(self, name: str, certain: Callable[[], object] | None = None) -> Streams:
        if certain is not None:
            with closing(self.inner.wait(name, Condition.NEXT_EXIT)) as waiter:
                certain()
                waiter.result()
        found: Streams = self.inner.attach(name)
        return found


class _NeverCertain(_Broken):
    """Tells nobody that it is certain."""

    def attach(self, name: str, certain: Callable[[], object] | None = None) -> Streams:
        found: Streams = self.inner.attach(name)
        return found


class _ClosesStdin(_Broken):
    def create(self, config: ContainerConfig, name: str = "") -> Created:
        made: Created = self.inner.create(evolve(config, open_stdin=False), name)
        return made


class _NeverResizes(_Broken):
    def resize(self, name: str, window: Window) -> None:
        self.inner.get(name)


class _OneStream(_Broken):
    def logs(self, name: str, query: LogQuery) -> int:
        found: int = self.inner.logs(name, evolve(query, stderr=True, stdout=True))
        return found


class _NeverFollows(_Broken):
    def logs(self, name: str, query: LogQuery) -> int:
        found: int = self.inner.logs(name, evolve(query, follow=False))
        with os.fdopen(found, "rb") as file:
            text = file.read()
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        return read


class _PlainExecs(_Broken):
    def exec_create(self, name: str, config: ExecConfig) -> str:
        found: str = self.inner.exec_create(name, evolve(config, environment=(), working_directory=""))
        return found


class _DeafExecs(_Broken):
    def exec_create(self, name: str, config: ExecConfig) -> str:
        found: str = self.inner.exec_create(name, evolve(config, attach_stdin=False))
        return found


class _AttachesAlways(_Broken):
    def exec_start(self, exec_id: str, *, detach: bool = False, window: Window | None = None) -> Streams | None:
        self.inner.exec_start(exec_id, detach=detach, window=window)
        return Streams(-1, -1, -1)


class _GuessesExecs(_Broken):
    def exec_get(self, exec_id: str) -> Exec:
        found: Exec = self.inner.exec_get(exec_id)
        return evolve(found, exit_code=0)


class _AttachesOnce(_Broken):
    def attach_again(self, id: str) -> Streams | None:
        return None


class _AttachesAgainAloud(_Broken):
    def attach_again(self, id: str) -> Streams | None:
        found: Streams | None = self.inner.attach_again(id)
        if found is not None:
            with suppress(NotFound):
                close(self.inner.attach(id))
        return found


class _ChangesCarriers(_Broken):
    def carrier(self) -> int:
        return time.monotonic_ns()


class _NeverEndsExecs(_Broken):
    def exec_exit_fd(self, exec_id: str) -> int:
        read, _ = os.pipe()
        return read


class _ListsNobody(_Broken):
    def top(self, name: str, arguments: str = "") -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        return self.inner.top(name, arguments)[0], ()


class _OldStats(_Broken):
    def stats(self, name: str) -> Stats | None:
        found: Stats | None = self.inner.stats(name)
        return found or Stats(0)


class _UpdatesOnPaper(_Broken):
    def update(self, name: str, change: ContainerUpdate) -> tuple[str, ...]:
        found: tuple[str, ...] = self.inner.update(name, evolve(change, resources={}))
        return found


class _WritesToTheRoot(_Broken):
    def write_path(self, name: str, path: str, archive: BinaryIO, **how: bool) -> None:
        self.inner.write_path(name, "/", archive, **how)


class _ReadsTheFolder(_Broken):
    def read_path(self, name: str, path: str) -> Iterator[bytes]:
        found: Iterator[bytes] = self.inner.read_path(name, path + "/." if path.endswith("/d") else path)
        return found


class _FollowsNoLink(_Broken):
    def stat_path(self, name: str, path: str) -> FileStat:
        found: FileStat = self.inner.stat_path(name, path)
        return evolve(found, link_target="")


class _OnNoNetwork(_Shows):
    def shown(self, container: Container) -> Container:
        """Return it without its networks."""
        return evolve(container, endpoints=())


class _OnItsNetworksForEver(_Shows):
    def shown(self, container: Container) -> Container:
        """Return it as if it ran."""
        return evolve(container, endpoints=tuple(evolve(each, endpoint_id="e") for each in container.endpoints))


class _StaysConnected(_Broken):
    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        if not self.inner.get(name).endpoints:
            self.inner.disconnect(name, network, force=force)


_NOTHING = ("nothing", "executable file not found", 127)

MUTANTS = (
    Mutant(_Zero, "test_run"),
    Mutant(_ForgetsLabels, "test_created"),
    Mutant(_state(lambda state: evolve(state, status=Status.CREATED)), "test_states", called="always created"),
    Mutant(_StartsTwice, "test_states"),
    Mutant(_WholeIdsOnly, "test_names"),
    Mutant(forgives("get", NotFound), "test_unknown_name", called="knows everybody"),
    Mutant(_NamesAll, "test_a_name_of_its_own"),
    Mutant(_TakesAnyName, "test_taken_name"),
    Mutant(_TakesAnyName, "test_no_name", ("-a",)),
    Mutant(forgives("rename", Conflict), "test_rename", called="renames to a taken one"),
    Mutant(_OnNoNetwork, "test_its_networks"),
    Mutant(_OnItsNetworksForEver, "test_its_networks"),
    Mutant(forgives("start", NotFound), "test_the_network_of_who_is_not_there_yet", called="joins nobody"),
    Mutant(forgives("start", Conflict), "test_the_network_of_who_is_not_there_yet", called="joins who doesn't run"),
    Mutant(_StaysConnected, "test_connect_and_disconnect"),
    Mutant(forgives("connect", NotFound), "test_connect_and_disconnect", called="connects to nothing"),
    Mutant(forgives("connect", Unsupported), "test_connect_and_disconnect", called="connects to host"),
    Mutant(forgives("disconnect", NotFound), "test_connect_and_disconnect", called="disconnects from nothing"),
    Mutant(_OldestFirst, "test_list"),
    Mutant(_KeepsTheNameOfAFailure, "test_unknown_image"),
    Mutant(forgives("start", Invalid), "test_no_program", _NOTHING, "starts anything"),
    Mutant(_state(lambda state: evolve(state, exit_code=0)), "test_no_program", _NOTHING, "zero"),
    Mutant(_KillsAtOnce, "test_stop"),
    Mutant(_state(lambda state: evolve(state, exit_code=0)), "test_stop_by_force", called="zero"),
    Mutant(_IgnoresItsSignal, "test_stop_signal"),
    Mutant(_KillsInstead, "test_kill"),
    Mutant(_StopsInstead, "test_restart"),
    Mutant(_NeverPauses, "test_pause"),
    Mutant(forgives("attach", Conflict), "test_pause", called="attaches to a paused one"),
    Mutant(_Zero, "test_wait_for_one_that_has_ended"),
    Mutant(_WaitsForNothing, "test_wait_for_the_next_end"),
    Mutant(_WaitsForTheNext, "test_wait_for_removal"),
    Mutant(_Zero, "test_many_wait"),
    Mutant(_NeverRemoves, "test_remove"),
    Mutant(_RemovesAnything, "test_remove_of_a_running_one"),
    Mutant(_RemovesByNoForce, "test_remove_of_a_running_one"),
    Mutant(_StaysThere, "test_auto_remove"),
    Mutant(_PrunesAll, "test_prune"),
    Mutant(_NeverCountsRestarts, "test_always"),
    Mutant(_NeverLetsWait, "test_start_of_one_that_waits_for_its_restart"),
    Mutant(_AlwaysRestarts, "test_on_failure"),
    Mutant(forgives("create", Invalid), "test_no_removal_with_a_policy", called="both"),
    Mutant(_ClosesStdin, "test_stdin"),
    Mutant(_AttachesLate, "test_start_while_it_is_attached_to"),
    Mutant(_NeverCertain, "test_start_while_it_is_attached_to"),
    Mutant(forgives("attach", Unavailable), "test_attaching_is_given_up", called="attaches nobody"),
    Mutant(_NeverResizes, "test_terminal"),
    Mutant(_OneStream, "test_logs"),
    Mutant(_NeverFollows, "test_logs_are_followed"),
    Mutant(_PlainExecs, "test_exec"),
    Mutant(_GuessesExecs, "test_exec"),
    Mutant(_AttachesAlways, "test_exec_detached"),
    Mutant(_DeafExecs, "test_exec_stdin"),
    Mutant(_GuessesExecs, "test_exec_of_nothing"),
    Mutant(forgives("exec_create", Conflict), "test_exec_wants_a_running_container", called="execs anywhere"),
    Mutant(_AttachesOnce, "test_attaching_again"),
    Mutant(_AttachesAgainAloud, "test_attaching_again"),
    Mutant(_ChangesCarriers, "test_attaching_again"),
    Mutant(_NeverEndsExecs, "test_exec_ends_with_its_container"),
    Mutant(_ListsNobody, "test_top"),
    Mutant(_OldStats, "test_stats"),
    Mutant(_state(lambda state: evolve(state, health=None)), "test_health", called="never looks"),
    Mutant(_state(_as_it_was), "test_health_after_the_end", called="stays as it was"),
    Mutant(_state(_without_results), "test_health_after_the_end", called="forgets the results"),
    Mutant(_state(_as_before_the_pause), "test_health_of_the_paused", called="stays as it was before the pause"),
    Mutant(_UpdatesOnPaper, "test_update"),
    Mutant(forgives("update", Conflict), "test_update", called="takes both"),
    Mutant(_ForgetsLabels, "test_created"),
    Mutant(_WritesToTheRoot, "test_copy", (False,)),
    Mutant(_ReadsTheFolder, "test_copy_of_a_folder"),
    Mutant(forgives("write_path", Invalid), "test_no_such_path", called="writes anywhere"),
    Mutant(_FollowsNoLink, "test_links_stay_inside"),
    Mutant(forgives("write_path", Denied), "test_read_only", called="writes to what is read-only"),
)
