"""A running engine: instances that start in the plan's order and stop in reverse, each with a state to see."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from moby.engine import root as engine_root
from moby.engine.interrupts import deferred
from moby.engine.watchers import Watcher, watchers
from moby.errors import HostUnfit, MobyError, Unsupported
from moby.plan import ENGINE, Instance, Plan
from moby.surroundings import Roots, Surroundings
from moby.values import evolve
from moby.wiring import Missing, construct, protocol_of

if TYPE_CHECKING:
    from moby.engine.elsewhere import Elsewhere

__all__ = ["Engine", "Seen", "Status", "start", "unmet_needs"]


class Status(StrEnum):
    """What an instance of a running engine is doing."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    SKIPPED = "skipped"
    FAILED = "failed"
    STOPPED = "stopped"


@frozen
class Seen:
    """The state of one instance, and why where it isn't running."""

    status: Status
    detail: str = ""


@define
class Engine:
    """A started plan; `instances` are the parts by key, to be called through their contracts."""

    plan: Plan
    roots: Roots
    instances: dict[str, Any] = field(factory=dict)
    _seen: dict[str, Seen] = field(factory=dict)
    _watch: Watcher = field(kw_only=True)
    _around: Surroundings = field(kw_only=True)
    _lasts: bool = field(kw_only=True)

    def states(self) -> Mapping[str, Seen]:
        """Return each instance's state, in start order; a part that has a `health` method is asked for it."""
        return {key: self._healthy(key, seen) for key, seen in self._seen.items()}

    def _healthy(self, key: str, seen: Seen) -> Seen:
        health = getattr(self.instances.get(key), "health", None)
        if seen.status is not Status.RUNNING or health is None:
            return seen
        try:
            return Seen(seen.status, health())
        except MobyError as error:
            return Seen(Status.FAILED, str(error))

    def add(self, key: str, part: Any) -> None:
        """Take a part that has started; where the engine lasts, it goes on with what earlier ones were at."""
        self.instances[key] = part
        if self._lasts:
            self._ask(key, "go_on")

    def wind_down(self, timeout_s: float | None) -> None:
        """Have each part end in order what it runs, last started first (`Lifecycle`)."""
        for each in reversed(self.plan.instances):
            self._ask(each.key, "wind_down", timeout_s)

    def _ask(self, key: str, name: str, *arguments: Any) -> None:
        """Call a method of a part that has it; an error is written into the log."""
        method = getattr(self.instances.get(key), name, None)
        if method is None:
            return
        try:
            method(*arguments)
        except Unsupported:
            return  # a program in another language may know no such call
        except (MobyError, OSError) as error:
            self._around.log(key).error(f"{name} failed", error=str(error))

    def let_go(self) -> None:
        """Forget the parts that are left, which hold nothing and so had nothing to stop."""
        for key in reversed([*self.instances]):
            del self.instances[key]
            self.mark(key, Status.STOPPED)

    def mark(self, key: str, status: Status, detail: str = "") -> None:
        """Set an instance's state and tell the watcher."""
        self._seen[key] = Seen(status, detail)
        self._watch(key, status.value, detail)


@contextmanager
def start(
    plan: Plan,
    root: Path | str | None = None,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    around: Surroundings | None = None,
    watch: Watcher | None = None,
    alone: bool = False,
    brief: bool = False,
    process: str = ENGINE,
    replace: bool = False,
) -> Iterator[Engine]:
    """Run a plan until the `with` block ends.

    Setup stops at the first error and undoes what stood, unless the failing part is `optional`; teardown goes on
    past errors and raises them together. `settings` are open options by instance key. With `alone` no other
    process may use the same folders, and who calls ends the served parts too. One that is `brief`, there for a command,
    does just what it is asked to, and so does one that is alone: others go on with what earlier engines were at.

    `process` is which of the plan's processes this is; for parts of others there are clients, and those with a process
    of their own are started. With `replace` they become those of this distribution and these settings.
    """
    around = around or Surroundings(Roots.under(Path(root), plan.name) if root else Roots.usual(plan.name))
    around = evolve(around, parts={each.key: each.facts.version for each in plan.instances})
    lasts = process == ENGINE and not alone and not brief
    engine = Engine(plan, around.roots, watch=watch or watchers(plan), around=around, lasts=lasts)
    for instance in plan.instances:
        engine.mark(instance.key, Status.WAITING)
    elsewhere = _elsewhere(plan, around, settings or {}, process, replace, lasting=not alone)
    own = engine_root.hold(around.roots, alone=alone) if process == ENGINE else nullcontext()
    with own:
        try:
            with _Teardown() as stack:
                if elsewhere is not None:
                    elsewhere.begin(each.key for each in plan.instances if _begins(plan, each, process))
                for instance in sorted(plan.instances, key=_is_told_of):  # the first has all others within spans
                    if process in instance.processes:
                        _start_one(engine, instance, around, (settings or {}).get(instance.key, {}), stack)
                    elif elsewhere is not None:
                        _reach_one(engine, instance, elsewhere, process)
                yield engine
        finally:
            engine.let_go()
            if elsewhere is not None:
                elsewhere.close()


def _elsewhere(
    plan: Plan,
    around: Surroundings,
    settings: Mapping[str, Mapping[str, Any]],
    process: str,
    replace: bool,
    lasting: bool,
) -> "Elsewhere | None":
    """Return what knows the other processes; None, and nothing imported, where there are none."""
    if all(process in each.processes for each in plan.instances):
        return None
    from moby.engine.elsewhere import Elsewhere

    return Elsewhere(plan, around, settings, process, replace, lasting)


def _start_one(
    engine: Engine, instance: Instance, around: Surroundings, settings: Mapping[str, Any], stack: "_Teardown"
) -> None:
    engine.mark(instance.key, Status.STARTING)
    if instance.policy == "skip-if-unfit" and (unmet := unmet_needs(instance)):
        engine.mark(instance.key, Status.SKIPPED, unmet[0])
        return
    try:
        made = construct(instance, engine.instances, around, settings)
        if hasattr(made, "__exit__"):
            stack.enter(engine, instance.key, made)
    except (MobyError, OSError) as error:
        _left_out(engine, instance, around, error)
        return
    engine.add(instance.key, _told_of(engine, instance, made))
    engine.mark(instance.key, Status.RUNNING)


def _is_told_of(instance: Instance) -> bool:
    """Whether a part comes after the tracer: all but that itself."""
    return instance.facts.kind != "tracer"


def _told_of(engine: Engine, instance: Instance, made: Any) -> Any:
    """Return what others call in place of a part, where the engine has a tracer."""
    tracer = next((part for key, part in engine.instances.items() if key.startswith("tracer/")), None)
    if tracer is None or instance.facts.kind == "frontend":
        return made
    from moby.engine.traced import traced

    return traced(made, protocol_of(instance), instance.key, tracer)


def _reach_one(engine: Engine, instance: Instance, elsewhere: "Elsewhere", process: str) -> None:
    """Start a part that has a process of its own where this one needs it, and have its client here."""
    if not _reached(engine.plan, instance, process):
        return
    engine.mark(instance.key, Status.STARTING)
    if instance.policy == "skip-if-unfit" and (unmet := unmet_needs(instance)):
        engine.mark(instance.key, Status.SKIPPED, unmet[0])
        return
    try:
        reached = elsewhere.client(instance)
    except (MobyError, OSError) as error:
        _left_out(engine, instance, elsewhere.around, error)
        return
    engine.add(instance.key, _told_of(engine, instance, reached))
    for each in engine.plan.instances:
        if instance.key in each.processes:
            detail = "" if each.key == instance.key else f"in the process of {instance.key}"
            engine.mark(each.key, Status.RUNNING, detail)


def _begins(plan: Plan, instance: Instance, process: str) -> bool:
    """Whether a part's process can be started before its turn; one that may be skipped is looked at in its turn."""
    here = process in instance.processes
    return not here and instance.policy != "skip-if-unfit" and _reached(plan, instance, process)


def _reached(plan: Plan, instance: Instance, process: str) -> bool:
    """Whether a process has a client of a part: the engine of all with a process of their own, parts of their needs."""
    if instance.key not in instance.processes:
        return False
    return process == ENGINE or any(
        instance.key in binding.targets
        for each in plan.instances
        if process in each.processes
        for binding in each.bindings.values()
    )


def _left_out(engine: Engine, instance: Instance, around: Surroundings, error: MobyError | OSError) -> None:
    """Go on without a part that failed to start, where that is allowed; else raise why."""
    optional = instance.policy == "optional" or (instance.policy == "skip-if-unfit" and isinstance(error, Missing))
    engine.mark(instance.key, Status.FAILED, str(error))
    if not optional:
        raise _explained(instance, error) from error
    around.log(instance.key).warning("left out, since it failed to start", error=str(error))


def unmet_needs(instance: Instance) -> list[str]:
    """Return what this host lacks of what an instance needs, each with what would fix it."""
    from moby.needs import judge, needs_of  # only a failure, or a part that may be skipped, needs to look

    probes = [judge(need) for need in needs_of(instance) if not need.optional]
    return [f"{probe.detail}; {probe.fix}" if probe.fix else probe.detail for probe in probes if not probe.ok]


def _explained(instance: Instance, error: Exception) -> MobyError:
    """Say of a part's failure whose it was, and what of its host needs isn't met."""
    unmet = unmet_needs(instance) if isinstance(error, HostUnfit | OSError) else []
    if isinstance(error, MobyError) and not unmet:
        return error
    message = f"{instance.key} failed to start: {error}"
    return HostUnfit(message, hint="; ".join(unmet) or "see `doctor`")


class _Teardown:
    """Stops what was started, last first; goes on past errors and reports them all."""

    def __init__(self) -> None:
        self._entered: list[tuple[Engine, str, AbstractContextManager[Any]]] = []

    def enter(self, engine: Engine, key: str, part: AbstractContextManager[Any]) -> None:
        with deferred():
            part.__enter__()
            self._entered.append((engine, key, part))

    def __enter__(self) -> "_Teardown":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        failures: list[Exception] = []
        with deferred():
            while self._entered:
                self._stop(*self._entered.pop(), error, failures)
        if failures:
            raise ExceptionGroup("parts failed to stop", failures) from error

    def _stop(
        self,
        engine: Engine,
        key: str,
        part: AbstractContextManager[Any],
        error: BaseException | None,
        failures: list[Exception],
    ) -> None:
        engine.instances.pop(key, None)
        try:
            part.__exit__(type(error) if error else None, error, error.__traceback__ if error else None)
        except Exception as failure:
            failures.append(failure)
            engine.mark(key, Status.FAILED, str(failure))
        else:
            engine.mark(key, Status.STOPPED)
