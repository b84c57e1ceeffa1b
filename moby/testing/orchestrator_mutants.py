"""Mutants of what keeps applications: each breaks one promise of the contract, and names the test that must see it."""

import os
from collections.abc import Callable
from typing import Any

from moby.contracts.events import Event
from moby.contracts.log_driver import LogQuery
from moby.contracts.orchestrator import (
    Application,
    Applied,
    Node,
    NodeState,
    Outcome,
    Service,
    ServiceSpec,
    Task,
    TaskState,
)
from moby.contracts.supervisor import HealthStatus
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.mutants import Broken, Mutant, forgives
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Any]


class _Shows(_Broken):
    """Shows tasks otherwise than they are."""

    def shown(self, task: Task) -> Task:
        """Return what is shown."""
        return task

    def task(self, name: str) -> Task:
        """Show one."""
        return self.shown(self.inner.task(name))

    def tasks(self, service: str = "", node: str = "") -> tuple[Task, ...]:
        """Show all."""
        return tuple(self.shown(each) for each in self.inner.tasks(service, node))


def _task(change: Callable[[Task], Task]) -> Callable[[Any], Any]:
    class Shows(_Shows):
        def shown(self, task: Task) -> Task:
            return change(task)

    return Shows


def _status(**values: Any) -> Callable[[Any], Any]:
    return _task(lambda task: evolve(task, status=evolve(task.status, **values)))


class _NeverStarts(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        made: Service = self.inner.create(evolve(spec, replicas=0), **named)
        return evolve(made, spec=spec)


class _WholeNamesOnly(_Broken):
    def service(self, name: str) -> Service:
        found: Service = self.inner.service(name)
        if name != found.spec.name:
            raise NotFound(f"service {name} not found")
        return found


class _Unsorted(_Broken):
    def services(self, application: str = "") -> tuple[Service, ...]:
        found: tuple[Service, ...] = self.inner.services(application)
        return found[::-1]


class _AnyApplication(_Broken):
    def services(self, application: str = "") -> tuple[Service, ...]:
        found: tuple[Service, ...] = self.inner.services()
        return found


class _TakesTakenNames(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        try:
            made: Service = self.inner.create(spec, **named)
        except Conflict:
            self.inner.remove(spec.name)
            made = self.inner.create(spec, **named)
        return made


class _TakesNamesHadBefore(_TakesTakenNames):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.removed: set[str] = set()

    def remove(self, name: str) -> None:
        self.inner.remove(name)
        self.removed.add(name)

    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        if spec.name in self.removed:
            return super().create(spec, **named)
        made: Service = self.inner.create(spec, **named)
        return made


class _AnyName(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        try:
            made: Service = self.inner.create(spec, **named)
        except Invalid:
            made = self.inner.create(evolve(spec, name="some"), **named)
        return made


class _ScalesUpOnly(_Broken):
    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        now: Service = self.inner.service(name)
        made: Service = self.inner.scale(name, max(replicas, now.spec.replicas), version)
        return evolve(made, spec=evolve(made.spec, replicas=replicas))


class _ScalesAnew(_Broken):
    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        spec = self.inner.service(name).spec
        found: Service = self.inner.update(name, evolve(spec, replicas=replicas, force=spec.force + 1), version)
        return found


class _HidesOnly(_Broken):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.hidden: set[str] = set()

    def remove(self, name: str) -> None:
        self.hidden.add(self.inner.service(name).id)

    def service(self, name: str) -> Service:
        found: Service = self.inner.service(name)
        if found.id in self.hidden:
            raise NotFound(f"service {name} not found")
        return found


class _NeverFollows(_Broken):
    """Its tasks are never followed by others."""

    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        from moby.contracts.orchestrator import Restart, RestartCondition

        found: Service = self.inner.create(evolve(spec, restart=Restart(RestartCondition.NONE)), **named)
        return found


class _AlwaysFollows(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        from moby.contracts.orchestrator import Restart

        found: Service = self.inner.create(evolve(spec, restart=Restart(delay_ns=1)), **named)
        return found


class _Hurries(_Broken):
    """Has the next task begin at once."""

    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        found: Service = self.inner.create(evolve(spec, restart=evolve(spec.restart, delay_ns=1)), **named)
        return found


class _ForgetsAttempts(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        found: Service = self.inner.create(evolve(spec, restart=evolve(spec.restart, max_attempts=0)), **named)
        return found


class _TasksOfAll(_Broken):
    def tasks(self, service: str = "", node: str = "") -> tuple[Task, ...]:
        found: tuple[Task, ...] = self.inner.tasks(node=node)
        return found


class _PlainWords(_Broken):
    """Knows no placeholders."""

    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        config = spec.container
        plain = tuple(each.replace("{{", "{ {") for each in config.environment)
        found: Service = self.inner.create(evolve(spec, container=evolve(config, environment=plain)), **named)
        return found


class _Anywhere(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        from moby.contracts.orchestrator import Placement

        found: Service = self.inner.create(evolve(spec, placement=Placement()), **named)
        return found


class _SharesPorts(_Broken):
    def create(self, spec: ServiceSpec, **named: Any) -> Service:
        found: Service = self.inner.create(evolve(spec, ports=()), **named)
        return found


class _UpdatesOnPaper(_Broken):
    def update(self, name: str, spec: ServiceSpec, version: int | None = None, **named: Any) -> Service:
        found: Service = self.inner.service(name)
        return evolve(found, spec=spec)


class _ReplacesAll(_Broken):
    def update(self, name: str, spec: ServiceSpec, version: int | None = None, **named: Any) -> Service:
        force = self.inner.service(name).spec.force + 1
        found: Service = self.inner.update(name, evolve(spec, force=force), version, **named)
        return found


class _NoForce(_Broken):
    def update(self, name: str, spec: ServiceSpec, version: int | None = None, **named: Any) -> Service:
        found: Service = self.inner.update(name, evolve(spec, force=0), version, **named)
        return found


class _Renames(_Broken):
    def update(self, name: str, spec: ServiceSpec, version: int | None = None, **named: Any) -> Service:
        try:
            found: Service = self.inner.update(name, spec, version, **named)
        except Unsupported:
            self.inner.remove(name)
            found = self.inner.create(spec)
        return found


class _AppliesNoNetworks(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        plain = tuple(evolve(each, networks={}) for each in application.services)
        found: Applied = self.inner.apply(evolve(application, networks=(), services=plain), **named)
        return found


class _AppliesAnew(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        there = {each.spec.name: each.spec.force for each in self.inner.services(application.name)}
        anew = tuple(evolve(each, force=there.get(each.name, 0) + 1) for each in application.services)
        found: Applied = self.inner.apply(evolve(application, services=anew), **named)
        return found


class _SaysUpdated(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        found: Applied = self.inner.apply(application, **named)
        return evolve(found, changes=tuple(evolve(each, outcome=Outcome.UPDATED) for each in found.changes))


class _NeverPrunes(_Broken):
    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        found: Applied = self.inner.apply(application)
        return found


class _AlwaysPrunes(_Broken):
    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        found: Applied = self.inner.apply(application, prune=True)
        return found


class _MakesExternals(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        own = tuple(evolve(each, external=False) for each in application.volumes)
        found: Applied = self.inner.apply(evolve(application, volumes=own), **named)
        return found


class _RemovesVolumes(_Broken):
    def remove_application(self, name: str, *, volumes: bool = False) -> Any:
        return self.inner.remove_application(name, volumes=True)


class _OneProblem(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        try:
            found: Applied = self.inner.apply(application, **named)
        except Invalid as error:
            raise Invalid(error.message, problems=error.problems[:1]) from error
        return found


class _NeverWaits(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        free = tuple(evolve(each, dependencies=()) for each in application.services)
        found: Applied = self.inner.apply(evolve(application, services=free), **named)
        return found


class _TakesOver(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        try:
            found: Applied = self.inner.apply(application, **named)
        except Conflict:
            for each in application.services:
                self.inner.remove(each.name)
            found = self.inner.apply(application, **named)
        return found


class _GivesNoFiles(_Broken):
    def apply(self, application: Application, **named: Any) -> Applied:
        bare = tuple(evolve(each, secrets=(), configs=()) for each in application.services)
        found: Applied = self.inner.apply(evolve(application, services=bare), **named)
        return found


class _FirstData(_Broken):
    """Keeps the data that came first."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.first: dict[str, Any] = {}

    def apply(self, application: Application, **named: Any) -> Applied:
        kept = tuple(self.first.setdefault(each.name, each) for each in application.secrets)
        found: Applied = self.inner.apply(evolve(application, secrets=kept), **named)
        return found


class _BothStreams(_Broken):
    def logs(self, name: str, query: LogQuery) -> Any:
        return self.inner.logs(name, evolve(query, stdout=True, stderr=True))


class _LogsNoMore(_Broken):
    def logs(self, name: str, query: LogQuery) -> Any:
        return self.inner.logs(name, evolve(query, follow=False))


class _Silent(_Broken):
    """Tells of no removal."""

    def watch(self, since_ns: int = 0) -> Any:
        inner = self.inner.watch(since_ns)

        class Quiet:
            fileno, close = inner.fileno, inner.close
            ended = False

            def take(self) -> tuple[Event, ...]:
                return tuple(each for each in inner.take() if each.action != "remove")

        return Quiet()


class _Nowhere(_Broken):
    def nodes(self) -> tuple[Node, ...]:
        return ()


class _NodeDown(_Broken):
    def node(self, name: str) -> Node:
        found: Node = self.inner.node(name)
        return evolve(found, state=NodeState.DOWN)


class _EmptyLogs(_Broken):
    def logs(self, name: str, query: LogQuery) -> Any:
        reader, writer = os.pipe()
        os.close(writer)
        return reader


class _Does(_Broken):
    """Does nothing where it should refuse."""

    def __init__(self, inner: Any, *verbs: str) -> None:
        super().__init__(inner)
        self.verbs = verbs

    def __getattr__(self, name: str) -> Any:
        return (lambda *_, **__: None) if name in self.verbs else getattr(self.inner, name)


def _does(*verbs: str) -> Callable[[Any], Any]:
    return lambda inner: _Does(inner, *verbs)


def _slotless(task: Task) -> Task:
    return evolve(task, slot=1)


def _first_attempt(task: Task) -> Task:
    return evolve(task, attempt=1)


def _well(task: Task) -> Task:
    return evolve(task, status=evolve(task.status, health=HealthStatus.NONE))


def _complete(task: Task) -> Task:
    failed = task.status.state is TaskState.FAILED
    return evolve(task, status=evolve(task.status, state=TaskState.COMPLETE)) if failed else task


def _of_another_node(task: Task) -> Task:
    return evolve(task, node_id="another")


_ONCE = ("none", 3, TaskState.FAILED)
_WELL = ("none", 0, TaskState.COMPLETE)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(_NeverStarts, "test_create"),
    Mutant(_WholeNamesOnly, "test_create"),
    Mutant(_status(pid=0), "test_create", called="no pid"),
    Mutant(_task(_slotless), "test_create", called="one slot for all"),
    Mutant(_Unsorted, "test_list"),
    Mutant(_AnyApplication, "test_list"),
    Mutant(forgives("service", NotFound), "test_unknown_names", called="knows every service"),
    Mutant(forgives("task", NotFound), "test_unknown_names", called="knows every task"),
    Mutant(forgives("node", NotFound), "test_unknown_names", called="knows every node"),
    Mutant(forgives("update", NotFound), "test_unknown_names", called="updates nothing"),
    Mutant(_TakesTakenNames, "test_taken_name"),
    Mutant(_TakesNamesHadBefore, "test_taken_name_beside_one_that_goes"),
    Mutant(_AnyName, "test_no_name", ("a b",)),
    Mutant(forgives("create", Invalid), "test_what_can_t_be", called="takes anything"),
    Mutant(forgives("create", NotFound), "test_no_such_network", called="takes any network"),
    Mutant(_status(error=""), "test_no_such_image", called="never says why"),
    Mutant(_ScalesUpOnly, "test_scale"),
    Mutant(_ScalesAnew, "test_scale"),
    Mutant(_HidesOnly, "test_remove"),
    Mutant(_NeverFollows, "test_a_task_that_dies"),
    Mutant(_task(_first_attempt), "test_a_task_that_dies", called="never counts"),
    Mutant(_AlwaysFollows, "test_an_end_that_is_the_end", _WELL),
    Mutant(_task(_complete), "test_an_end_that_is_the_end", _ONCE, "all is well"),
    Mutant(_status(exit_code=None), "test_an_end_that_is_the_end", _ONCE, "nobody saw it"),
    Mutant(_NeverFollows, "test_so_many_attempts"),
    Mutant(_Hurries, "test_as_late_as_is_told"),
    Mutant(_ForgetsAttempts, "test_attempts_of_long_ago", ("any",)),
    Mutant(_TasksOfAll, "test_finding_tasks"),
    Mutant(_task(_of_another_node), "test_finding_tasks", called="elsewhere"),
    Mutant(_task(_well), "test_health", called="never looks"),
    Mutant(_PlainWords, "test_placeholders"),
    Mutant(_Anywhere, "test_constraints"),
    Mutant(_SharesPorts, "test_published_ports"),
    Mutant(_does("create"), "test_modes_that_are_lacking", ("global",), "takes any mode"),
    Mutant(_UpdatesOnPaper, "test_update"),
    Mutant(_ReplacesAll, "test_update_of_nothing"),
    Mutant(_NoForce, "test_by_force"),
    Mutant(_Renames, "test_what_can_t_be_changed"),
    Mutant(forgives("update", Invalid), "test_what_can_t_be_changed", called="takes anything"),
    Mutant(_UpdatesOnPaper, "test_without_versions"),
    Mutant(_does("roll_back"), "test_rolling_back_is_lacking", called="rolls back nothing"),
    Mutant(_AppliesNoNetworks, "test_apply"),
    Mutant(_SaysUpdated, "test_apply"),
    Mutant(_AppliesAnew, "test_apply_again"),
    Mutant(_SaysUpdated, "test_apply_again"),
    Mutant(_NeverPrunes, "test_orphans"),
    Mutant(_AlwaysPrunes, "test_orphans"),
    Mutant(_MakesExternals, "test_what_must_be_there"),
    Mutant(_RemovesVolumes, "test_removing_one"),
    Mutant(_does("remove_application"), "test_removing_one", called="removes none"),
    Mutant(_OneProblem, "test_every_problem"),
    Mutant(forgives("apply", Invalid), "test_a_circle", called="waits for ever"),
    Mutant(_TakesOver, "test_names_of_another_application"),
    Mutant(_NeverWaits, "test_dependencies"),
    Mutant(_GivesNoFiles, "test_secrets_and_configs"),
    Mutant(_FirstData, "test_data_that_changes"),
    Mutant(_BothStreams, "test_logs"),
    Mutant(_EmptyLogs, "test_logs"),
    Mutant(_LogsNoMore, "test_following_logs"),
    Mutant(_Silent, "test_watch"),
    Mutant(_does("secrets"), "test_secrets_are_lacking", called="has none"),
    Mutant(_does("label_config"), "test_secrets_are_lacking", called="labels nothing"),
    Mutant(_Nowhere, "test_this_node"),
    Mutant(_NodeDown, "test_this_node"),
    Mutant(_does("update_node"), "test_nodes_are_lacking", called="changes nothing"),
    Mutant(_does("cluster"), "test_clusters_are_lacking", called="one of none"),
)
"""Of what each part must do, whatever it offers; a part that offers more brings mutants of its own."""
