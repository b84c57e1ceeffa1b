"""The container's side of a start: what the cloned process does, from the caller's go to the user's program.

No module may be imported from here on, since the files seen may be the container's.
"""

from __future__ import annotations

import gc
import os
import sys

from moby.contracts.runtime_values import DIE_WITH_PARENT
from moby.host import keyrings, namespaces, processes
from moby.host.cgroups import NO_GROUP, Entrance
from moby.host.files import write_text
from moby.host.lean import accept, signals, sockets
from moby.values import evolve, frozen
from moby_runtime.native import rootfs, sources
from moby_runtime.native.messages import GROUPS, MOUNTED, READY
from moby_runtime.native.values import CREATED, CREATING, Hook, ProcessSpec, Spec
from moby_runtime.programs import executable, program
from moby_runtime.records.failures import doing, guarded
from moby_runtime.records.gate import GO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from moby.contracts.streams import Stdio
    from moby.oci.seccomp.filter import Filter
    from moby_runtime.native.hooks import Hooks
    from moby_runtime.native.root import Root
    from moby_runtime.native.sources import Trees

__all__ = [
    "MADE_INSIDE", "Channel", "Start", "await_release", "become_root", "isolate", "kept_capabilities", "last_step",
    "leave_session", "run_init",
]  # fmt: skip

MADE_INSIDE = ("network", "mount", "uts", "ipc", "cgroup")
"""Namespaces that the process makes for itself, while its caller does other things; that of control groups shows the
group that its maker is in, so it comes once this one is in its own."""


@frozen
class Channel:
    """The child's ends: a byte comes when its namespaces are mapped and its groups set; failures go back."""

    release: int
    report: int
    interpreter: tuple[int, int]
    """Device and inode of the program that runs this, asked before /proc was the container's."""
    console: int = -1
    """Where the master of a terminal goes."""
    group: Entrance = NO_GROUP
    """What this process isn't in yet of its control group."""
    hides: bool = False
    """Whether the caller has more to hide than who may look into its own processes has anyway."""
    joins: tuple[tuple[int, int, str], ...] = ()
    """Namespaces to join first: descriptors, with flags and what they are."""

    def tell(self, data: bytes) -> object:
        """Have the caller read something."""
        return os.write(self.report, data)

    def join(self) -> None:
        """Join what is joined first."""
        for fd, flags, name in self.joins:
            with doing(f"join {name}", "linux.namespaces"):
                namespaces.join(fd, flags)

    def above(self, first: int) -> Channel:
        """Return the same with no descriptor below a number, but those of what is entered before others are open."""

        if min((*self.descriptors, *self.doors)) >= first:
            return self

        def moved(fd: int) -> int:
            return program.above(fd, first) if fd >= 0 else fd

        return evolve(
            self,
            release=moved(self.release),
            report=moved(self.report),
            console=moved(self.console),
            group=evolve(
                self.group,
                folder=moved(self.group.folder),
                tasks=tuple([moved(fd) for fd in self.group.tasks]),
                counted=moved(self.group.counted),
            ),
            joins=tuple([(moved(fd), flags, name) for fd, flags, name in self.joins]),
        )

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that lead to the caller."""
        return tuple([fd for fd in (self.release, self.report, self.console) if fd >= 0])

    @property
    def doors(self) -> tuple[int, ...]:
        """All that a copy of this process enters something by."""
        groups = (self.group.folder, *self.group.tasks, self.group.counted)
        return tuple([fd for fd in (*groups, *[each[0] for each in self.joins]) if fd >= 0])


def isolate(keep: tuple[int, ...]) -> None:
    """Drop what came with the copy of the caller: descriptors, and the ways to import."""
    gc.disable()
    sys.meta_path.clear()
    processes.close_other_descriptors(keep)


def await_release(channel: Channel) -> bool:
    """Wait for the caller's go, and return whether groups may be set; if it died instead, so does this process."""
    word = os.read(channel.release, 1)
    if not word:
        os._exit(70)
    return word == GROUPS


def leave_session() -> None:
    """Let go of the caller's session keyring."""
    with doing("make a session keyring"):
        keyrings.join_new_session()


def become_root(user_namespace: bool, may_set_groups: bool) -> None:
    """Take on the ids of root in a user namespace, as whom everything is set up."""
    if not user_namespace:
        return
    with doing("become root's group of the user namespace", "linux.gidMappings"):
        os.setresgid(0, 0, 0)
    with doing("become root of the user namespace", "linux.uidMappings"):
        os.setresuid(0, 0, 0)
        if may_set_groups:
            os.setgroups([])


def _make_namespaces(spec: Spec, channel: Channel) -> bool:
    """Make those that the process makes itself, and return at its release, as `_await_release`."""
    # Where somebody else moves it, it is in its group by its release; the namespace begins where its maker is.
    late = ("cgroup",) if spec.new("cgroup") and channel.group.moved_by_others else ()
    with doing("make the namespaces"):
        made = [name for name in MADE_INSIDE if spec.new(name) and name not in late]
        namespaces.unshare(sum(namespaces.FLAGS[name] for name in made))
    may_set_groups = await_release(channel)
    if late:
        with doing("make the control groups' namespace", "linux.namespaces"):
            namespaces.unshare(namespaces.FLAGS["cgroup"])
    return may_set_groups


@frozen
class Start:
    """What the first process of a container is made of."""

    spec: Spec
    stdio: Stdio
    channel: Channel
    listener: int
    """The socket at which it waits for its start."""
    cgroups: tuple[str, ...]
    told: Hooks | None
    """The hooks of its bundle, where it has some."""
    trees: Trees

    def above_extra(self) -> Start:
        """Return the same with no descriptor where the program's own go."""
        if not self.stdio.extra:
            return self
        first = 3 + len(self.stdio.extra)
        return evolve(self, channel=self.channel.above(first), listener=program.above(self.listener, first))


def run_init(start: Start) -> NoReturn:
    """Be the first process of a container: set everything up, say so, wait for the start, and run the program."""
    start = start.above_extra()
    spec, channel = start.spec, start.channel

    def begin() -> None:
        channel.join()
        with doing("enter the control group", "linux.cgroupsPath"):
            channel.group.enter()
        kept = (*program.take_stdio(start.stdio), *channel.descriptors, start.listener)
        root, may_set_groups, trees = _enter_namespaces(start, kept)
        umask = os.umask(0)
        _set_up(spec)
        rootfs.build(root, start.cgroups, trees, terminal=channel.console)
        _enter_root(start, root)
        os.umask(umask)
        _become_user(start, kept, may_set_groups)
        channel.tell(READY)
        os.close(channel.report)
        await_release(channel)
        os.close(channel.release)
        _await_start(start)

    guarded(channel.tell, begin)


def _enter_namespaces(start: Start, kept: tuple[int, ...]) -> tuple[Root, bool, Trees]:
    """Get into all namespaces, with the root mounted; return whether groups may be set, and what was opened before."""
    spec, trees = start.spec, start.trees
    isolate((*kept, *trees.values()))
    may_set_groups = _make_namespaces(spec, start.channel)
    root = rootfs.mount_root(spec)
    opened = sources.open_trees(spec, trees) if spec.user_namespace else trees
    if spec.new("time"):
        from moby_runtime.native import clocks

        clocks.enter_time(spec.time_offsets)
    become_root(spec.user_namespace, may_set_groups)
    if spec.keyring:
        leave_session()
    return root, may_set_groups, opened


def _enter_root(start: Start, root: Root) -> None:
    """Run the hooks that see the host's files, and leave these."""
    spec = start.spec
    if spec.hooks or spec.net_devices:
        _pass_hooks(start, root)
    if spec.process.labelled:
        from moby_runtime.native import labels

        labels.apply(spec.process)
    root.enter()


def _become_user(start: Start, kept: tuple[int, ...], may_set_groups: bool) -> None:
    """Take on all that the program has, but for the filter of its calls."""
    spec, channel = start.spec, start.channel
    if channel.hides:
        # It is a copy of the caller until it is told to start, and may share its PID namespace with containers.
        processes.set_dumpable(False)
    program.take_terminal(spec.process)
    # Whatever the steps before have opened was the host's.
    processes.close_other_descriptors([fd for fd in kept if fd != channel.console])
    program.become_user(spec.process, may_set_groups=may_set_groups, kept=kept_capabilities(spec.process, spec.seccomp))
    if channel.hides:
        processes.set_dumpable(False)  # anew, since where fs.suid_dumpable is 1 the change of user took it back
    if spec.looks and spec.process.args:
        executable.look(spec.process)
    if spec.annotations.get(DIE_WITH_PARENT) == "true":
        # Only now, since a change of user takes it back. Had the caller died before, the report is a broken pipe.
        processes.set_parent_death_signal(signals.SIGKILL)


def kept_capabilities(process: ProcessSpec, wanted: Filter | None) -> frozenset[int]:
    """Return the capabilities that it needs until its filter is installed."""
    if wanted is None:
        return frozenset()
    from moby_runtime.native import seccomp

    return seccomp.kept(process, wanted)


def last_step(
    process: ProcessSpec, wanted: Filter | None, tell: Callable[[bytes], object], answers: int
) -> tuple[Callable[[], object], bool]:
    """Return the last step before the program, a filter of its calls if there is one, and if it starts by its path."""
    if wanted is None:
        return _nothing, False
    from moby_runtime.native import seccomp

    return lambda: seccomp.install(process, wanted, tell, answers), seccomp.by_path(wanted)


def _nothing() -> None:
    pass


def _set_up(spec: Spec) -> None:
    """Do what needs the namespaces, and the host's root still."""
    if spec.new("network"):
        with doing("bring up the loopback device", "linux.namespaces"):
            from moby.host import links

            links.bring_up_loopback()
    with doing("set the host name", "hostname"):
        if spec.hostname:
            sockets.sethostname(spec.hostname)
    with doing("set the domain name", "domainname"):
        if spec.domainname:
            processes.set_domain_name(spec.domainname)
    for key, value in spec.sysctl.items():
        with doing(f"set {key}", f"linux.sysctl.{key}"):
            write_text(f"/proc/sys/{key if '/' in key else key.replace('.', '/')}", value)


def _pass_hooks(start: Start, root: Root) -> None:
    """Let the caller run its hooks, then run those of the container that see the host's files still."""
    os.write(start.channel.report, MOUNTED)
    if not os.read(start.channel.release, 1):
        os._exit(70)
    root.go()
    if start.told is not None:
        start.told.run("createContainer", CREATING, os.getpid())


def _await_start(start: Start) -> None:
    """Wait until somebody says to start; whoever hangs up without a word only wanted to know if this still waits."""
    listener = sockets.socket(fileno=start.listener)
    while True:
        connection = accept(listener)
        if os.read(connection, 1) == GO:
            break
        os.close(connection)
    interpreter = start.channel.interpreter

    def tell(data: bytes) -> object:
        return os.write(connection, data)

    def as_container(hook: Hook) -> NoReturn:
        processes.set_dumpable(False)
        executable.become(hook.path, hook.args, hook.env, "/", interpreter)

    def steps() -> None:
        if start.told is not None:
            start.told.run("startContainer", CREATED, os.getpid(), as_container)
        process = start.spec.process
        last, by_path = last_step(process, start.spec.seccomp, tell, connection)
        executable.execute(process, interpreter, last, by_path=by_path)

    guarded(tell, steps)
