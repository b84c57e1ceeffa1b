"""Making a container up to its program, and a further process in one that runs."""

from __future__ import annotations

import os
import time

from moby.contracts.runtime_values import Process
from moby.errors import Invalid
from moby.host import processes
from moby.host.blocks import Undo
from moby.host.cgroups import Group
from moby.host.lean import signals
from moby.values import evolve
from moby_runtime.native import inside, launch, placement, sources
from moby_runtime.native.members import group_of
from moby_runtime.native.preloading import preload
from moby_runtime.native.records import Record, Records
from moby_runtime.native.values import CREATING, RUNNING, ProcessSpec, Spec
from moby_runtime.programs.program import is_above, set_limit
from moby_runtime.records.failures import Failed, Failure, cause_of, error_of, not_run
from moby_runtime.records.first import boot_id
from moby_runtime.records.gate import Gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any, NoReturn

    from moby.contracts.streams import Stdio
    from moby.oci.seccomp.filter import Filter
    from moby_runtime.native.console import Console
    from moby_runtime.native.dumping import Wishes
    from moby_runtime.native.hooks import Hooks
    from moby_runtime.native.rdt import Class
    from moby_runtime.native.scopes import Scope

__all__ = ["Maker", "add"]

_LATER_HOOKS = ("startContainer", "poststart", "poststop")


class Maker:
    """Makes containers whose records are in one folder; `warn` is told of `poststop` hooks that fail."""

    def __init__(
        self,
        engine: str,
        records: Records,
        warn: Callable[[Failure], None],
        *,
        systemd: bool = False,
        alone: bool = False,
    ) -> None:
        self._engine = engine
        self._systemd = systemd
        self._alone = alone
        self._records = records
        self._warn = warn

    def create(self, container_id: str, spec: Spec, stdio: Stdio, folder: str) -> Process:
        """Make a container; as Native.create_from."""
        _check_terminal(spec.process, stdio)
        if os.geteuid() and not spec.user_namespace:
            raise Invalid(
                "config.json: linux.namespaces has no user namespace, without which only root can make a container",
                hint="add one, with uidMappings and gidMappings of your own user, or run as root",
            )
        preload(spec)
        try:
            with Undo() as undo:
                return self._create(container_id, spec, stdio, undo, folder)
        except Failed as error:
            if error.failure.field == "process.args":
                raise not_run(error.failure) from cause_of(error.failure)
            raise error_of(error.failure, user_namespace=spec.user_namespace) from error

    def _create(self, container_id: str, spec: Spec, stdio: Stdio, undo: Undo, folder: str) -> Process:
        lent = undo.enter_context(Undo())
        console, streams = _console_of(stdio, lent)
        scope = self._scope(container_id, spec)
        planned = None if scope else placement.plan(self._path(container_id, spec), spec)
        record = _intent(container_id, spec, planned.folders if planned else (), scope)
        told = _hooks(container_id, spec)
        _need(spec.process, spec.seccomp, spec.mount_label)
        self._records.reserve(record)
        undo.callback(self._records.remove, container_id)
        placement.tell_without_effect(spec.resources, self._warn)
        _make_class(record, spec, undo)
        own = self._records.path(container_id)
        if folder:
            os.mkdir(f"{own}/{folder}")
        group = placement.make(planned, undo) if planned else scope.group if scope else Group(())
        listener = Gate(own).listen()
        lent.callback(listener.close)
        if spec.shares_mounts:
            undo.callback(_take_off_root, record)
        with Undo() as entered:
            trees = sources.mapped_trees(spec, 3 + len(stdio.extra), entered)
            entry = launch.into_new(
                spec.namespaces, spec.process.oom_score_adj, group if planned else Group(()), entered
            )

            def body(channel: inside.Channel) -> NoReturn:
                inside.run_init(inside.Start(spec, streams, channel, listener.fileno(), group.folders, told, trees))

            child = launch.spawn(entry, body, undo, lent, console.child if console else -1)
        self._record(record, child.pid, group)
        if spec.new("user"):
            launch.map_ids(child.pid, spec.uid_mappings, spec.gid_mappings)
        _classify(record, child.pid)
        if scope is not None:
            scope.enter(child.pid, spec.resources, undo)
        _raise_limits(spec.process, child.pid)
        child.go()
        # From here on both are at work.
        placement.limit(group, spec)
        rule = placement.ruling(group, spec)
        if spec.hooks or spec.net_devices:
            self._pass_hooks(
                told, child, undo, lambda: _before_hooks(rule, spec, child.pid, undo, lent),
                lambda: _killed(group, spec),
            )  # fmt: skip
        elif not child.ready():
            raise _killed(group, spec)
        else:
            rule()
        child.finish()
        terminal = console.receive() if console else -1
        lent.close()
        return _kept(child, terminal, undo)

    def restore(self, container_id: str, spec: Spec, stdio: Stdio, image: Path, wishes: Wishes) -> Process:
        """Make a container of an image; as Native.restore."""
        _check_terminal(spec.process, stdio)
        try:
            with Undo() as undo:
                return self._restore(container_id, spec, stdio, image, wishes, undo)
        except Failed as error:
            raise error_of(error.failure, user_namespace=spec.user_namespace) from error

    def _restore(self, container_id: str, spec: Spec, stdio: Stdio, image: Path, wishes: Wishes, undo: Undo) -> Process:
        from moby_runtime.native import restoring

        scope = self._scope(container_id, spec)
        planned = None if scope else placement.plan(self._path(container_id, spec), spec)
        record = _intent(container_id, spec, planned.folders if planned else (), scope)
        _need(spec.process, spec.seccomp, spec.mount_label)
        self._records.reserve(record)
        undo.callback(self._records.remove, container_id)
        placement.tell_without_effect(spec.resources, self._warn)
        _make_class(record, spec, undo)
        group = placement.make(planned, undo) if planned else scope.group if scope else Group(())
        undo.callback(group.kill, signals.SIGKILL)

        def enter(pid: int) -> None:
            _classify(record, pid)
            if scope is not None:
                scope.enter(pid, spec.resources, undo)
            placement.limit(group, spec)

        restorer = restoring.Restorer(
            spec, self._records.path(container_id), image, wishes, _hooks(container_id, spec),
            lambda pid: self._record(record, pid, group),
        )  # fmt: skip
        process = restorer.restore(stdio, group if planned else Group(()), group, enter, undo)
        undo.pop_all()
        return process

    def _path(self, container_id: str, spec: Spec) -> str:
        return placement.path_of(self._records.root, self._engine, container_id, spec, alone=self._alone)

    def _scope(self, container_id: str, spec: Spec) -> Scope | None:
        """Choose the unit that holds the container where systemd is to make its group."""
        if not self._systemd:
            return None
        from moby_runtime.native import scopes

        return scopes.plan(container_id, spec)

    def _record(self, record: Record, pid: int, group: Group) -> None:
        """Write down which process there is now."""
        stat = processes.process_stat(pid)
        ticks = stat.start_ticks if stat else 0
        self._records.write(evolve(record, pid=pid, start_ticks=ticks, cgroups=group.folders))

    def _pass_hooks(
        self,
        told: Hooks | None,
        child: launch.Child,
        undo: Undo,
        before: Callable[[], None],
        killed: Callable[[], Failed],
    ) -> None:
        """Get a container ready whose bundle has hooks; after an error the last of them run, with all undone."""
        if not child.mounted():
            raise killed()
        before()
        try:
            if told is not None:
                for name in ("prestart", "createRuntime"):
                    told.run(name, CREATING, child.pid)
            if not child.enter(told.time_s("createContainer") if told else 0):
                raise killed()
        except BaseException:
            undo.close()
            if told is not None:
                told.run_poststop(self._warn)
            raise


def _killed(group: Group, spec: Spec) -> Failed:
    from moby_runtime.groups.killed import killed

    return Failed(killed(group, spec.resources))


def _before_hooks(rule: Callable[[], None], spec: Spec, pid: int, undo: Undo, lent: Undo) -> None:
    rule()
    if spec.net_devices:
        from moby_runtime.native import net_devices

        net_devices.move(spec.net_devices, pid, undo, lent)


def _take_off_root(record: Record) -> None:
    from moby_runtime.native import shared_mounts

    shared_mounts.take_off(record.rootfs, record.mount_namespace)


def _class_of(container_id: str, spec: Spec) -> Class | None:
    if spec.rdt is None:
        return None
    from moby_runtime.native import rdt

    return rdt.plan(container_id, spec.rdt)


def _make_class(record: Record, spec: Spec, undo: Undo) -> None:
    """Make the groups of caches that a bundle asks for."""
    if spec.rdt is not None:
        from moby_runtime.native import rdt

        rdt.make(rdt.Class(record.rdt, record.own_rdt), spec.rdt, undo)


def _classify(record: Record, pid: int) -> None:
    if record.rdt:
        from moby_runtime.native import rdt

        rdt.enter(record.rdt, pid)


def _intent(container_id: str, spec: Spec, folders: tuple[str, ...], scope: Scope | None) -> Record:
    """Return what is written before there is a process."""
    classed = _class_of(container_id, spec)
    return Record(
        id=container_id,
        bundle=spec.bundle,
        boot=boot_id(),
        cgroups=scope.group.folders if scope else folders,
        scope=scope.unit if scope else "",
        scope_of_user=scope is not None and scope.user,
        user_namespace=spec.user_namespace,
        annotations=spec.annotations,
        rootfs=spec.rootfs,
        shares_mounts=spec.shares_mounts,
        mount_namespace=spec.namespaces.get("mount", ""),
        rdt=classed.groups if classed else (),
        own_rdt=classed.own if classed else (),
        created_ns=time.time_ns(),
        hooks={name: spec.hooks[name] for name in _LATER_HOOKS if name in spec.hooks},
        startable=bool(spec.process.args),
        linux=spec.process.traits.linux if spec.process.traits else {},
        seccomp=_stored(spec.seccomp),
    )


def add(
    record: Record,
    first: int,
    process: ProcessSpec,
    stdio: Stdio,
    groups: Mapping[str, str],
    *,
    patient: bool = False,
) -> Process:
    """Run a further process in a container; ProcessLookupError where that has ended.

    `first` is a pidfd of its first process. `groups` are control groups below the container's own, by controller (empty
    for version 2). A `patient` caller waits for as long as the container is paused.
    """
    _check_terminal(process, stdio)
    wanted = _restored(record)
    _need(process, None, "")
    try:
        with Undo() as undo:
            return _add(record, first, process, wanted, stdio, undo, groups, patient)
    except Failed as error:
        if error.failure.field == "process.args":
            raise not_run(error.failure) from cause_of(error.failure)
        raise error_of(error.failure, user_namespace=record.user_namespace) from error


def _add(
    record: Record,
    first: int,
    process: ProcessSpec,
    wanted: Filter | None,
    stdio: Stdio,
    undo: Undo,
    groups: Mapping[str, str],
    patient: bool,
) -> Process:
    from moby_runtime.native.further import Further  # which most commands don't need

    lent = undo.enter_context(Undo())
    console, streams = _console_of(stdio, lent)
    further = Further(process, streams, record.user_namespace, wanted)
    held = bool(console or record.rdt or record.scope_of_user)
    with Undo() as entered:
        group = _group(record, groups)
        entry = launch.into_running(
            (record.pid, first), process, group, entered, chroot=record.shares_mounts, waits=patient
        )
        child = launch.spawn(
            entry, further.run, undo, lent, console.child if console else -1, early=None if held else further
        )
    if not child.released:
        if record.scope_of_user:
            from moby.host import systemd

            systemd.attach(record.scope, child.pid, user=True)
        _classify(record, child.pid)
        _raise_limits(process, child.pid)

    def on_listener(number: int) -> None:
        from moby_runtime.native import seccomp

        seccomp.pass_listener_of(wanted, record, RUNNING, (child.pid, child.pidfd), number)

    child.release(on_listener, patient=patient)
    terminal = console.receive() if console else -1
    lent.close()
    return _kept(child, terminal, undo)


def _group(record: Record, groups: Mapping[str, str]) -> Group:
    """Return the group that a further process is put into."""
    if groups:
        from moby_runtime.native.subgroups import below

        return below(group_of(record), groups)
    # An ordinary user can't move a process into what systemd has made for it; systemd can.
    return Group(()) if record.scope_of_user else group_of(record).holding(record.pid)


def _console_of(stdio: Stdio, undo: Undo) -> tuple[Console | None, Stdio]:
    if not stdio.terminal:
        return None, stdio
    from moby_runtime.native.console import console_of

    return console_of(stdio, undo)


def _hooks(container_id: str, spec: Spec) -> Hooks | None:
    if not spec.hooks:
        return None
    from moby_runtime.native.hooks import Hooks

    return Hooks(container_id, spec.bundle, spec.annotations, spec.hooks)


def _stored(wanted: Filter | None) -> dict[str, Any]:
    if wanted is None:
        return {}
    from moby_runtime.native import seccomp

    return seccomp.stored(wanted)


def _restored(record: Record) -> Filter | None:
    if not record.seccomp:
        return None
    from moby_runtime.native import seccomp

    return seccomp.restored(record)


def _need(process: ProcessSpec, wanted: Filter | None, mount_label: str) -> None:
    """See that the kernel has what a filter and labels need."""
    if wanted is not None:
        from moby_runtime.native import seccomp

        seccomp.need(wanted)
    if process.labelled or mount_label:
        from moby_runtime.native import labels

        labels.need(process, mount_label)


def _check_terminal(process: ProcessSpec, stdio: Stdio) -> None:
    """See that both sides speak of the same streams."""
    if process.terminal != stdio.terminal:
        raise Invalid("config.json: process.terminal must be true if the streams are a terminal, and false if not")


def _raise_limits(process: ProcessSpec, pid: int) -> None:
    """Raise what a process in a user namespace may not raise itself; it sets its limits later, and may lower them.

    Done before it becomes another user, whose limits only CAP_SYS_RESOURCE may set (prlimit(2)).
    """
    if not process.rlimits:
        return
    import resource

    for number, _, hard in process.rlimits:
        if is_above(hard, resource.getrlimit(number)[1]):
            set_limit(pid, number, hard, hard)


def _kept(child: launch.Child, terminal: int, undo: Undo) -> Process:
    """Close what only the start needed, and keep the rest from being undone."""
    for fd in (child.release_fd, child.report_fd):
        if fd >= 0:
            os.close(fd)
    undo.pop_all()
    return Process(child.pid, child.pidfd, terminal)
