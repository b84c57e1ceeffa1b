"""Runtimes that each break one promise about a feature: the real one, wrapped."""

import json
import os

from attrs import evolve
from runtime_mutants import Broken, configured

from moby.contracts.types import Stdio
from moby.errors import Conflict, Invalid, MobyError, NotFound

# --- hooks ------------------------------------------------------------------------------------------------------


def hooked(change):
    """A runtime that runs other hooks than its bundle says."""
    return configured(lambda data: change(data["hooks"]))


def without_hooks(name):
    return hooked(lambda hooks: hooks.pop(name, None))


def moved_hooks(source, target):
    def change(hooks):
        hooks[target] = [*hooks.pop(source, []), *hooks.get(target, [])]

    return hooked(change)


def reversed_hooks(hooks):
    for each in hooks.values():
        each.reverse()


def forgiven(hooks):
    """Let hooks that fail, or take long, do neither."""
    for each in hooks.values():
        for hook in each:
            if "args" in hook:
                hook["args"][2] = hook["args"][2].replace("exit 3", "true").replace("exec sleep 1000", "true")


def only_first(hooks):
    for each in hooks.values():
        del each[1:]


def plain_hooks(*names):
    def change(hooks):
        for each in hooks.values():
            for hook in each:
                for name in names:
                    hook.pop(name, None)

    return hooked(change)


def go_on_after_failures(hooks):
    """Run a hook's successors whatever became of it, and fail at the end."""
    for each in hooks.values():
        if len(each) > 1:
            each.append({"path": "/bin/false"})
    forgiven(hooks)


class StartKeeps(Broken):
    """Leaves a container whose start failed by a hook."""

    starting = False

    def start(self, container_id):
        self.starting = True
        try:
            super().start(container_id)
        finally:
            self.starting = False

    def delete(self, container_id, *, force=False):
        if not self.starting:
            super().delete(container_id, force=force)


class LastHooksMatter(Broken):
    def delete(self, container_id, *, force=False):
        super().delete(container_id, force=force)
        raise Invalid("hooks.poststop[0]: it fails")


# --- calls in states --------------------------------------------------------------------------------------------


def forgiving(*names):
    """A runtime whose calls are fine in any state."""

    class Forgiving(Broken):
        pass

    def call(name):
        def method(self, *args, **options):
            try:
                return getattr(super(Forgiving, self), name)(*args, **options)
            except (Conflict, NotFound):
                return os.open("/dev/null", os.O_RDONLY) if name == "watch_oom" else None

        return method

    for name in names:
        setattr(Forgiving, name, call(name))
    Forgiving.calls = names
    Forgiving.__name__ = f"Forgiving_{'_'.join(names)}"
    return Forgiving


class VagueAboutState(Broken):
    """Says Invalid where it should say that the state is wrong."""

    calls = ("exec",)

    def exec(self, container_id, process, stdio):
        try:
            return super().exec(container_id, process, stdio)
        except Conflict as error:
            raise Invalid(str(error)) from error


# --- statistics and OOM kills -----------------------------------------------------------------------------------


def counting(**fields):
    """A runtime whose statistics have other values, or what a function makes of them."""

    class Miscounts(Broken):
        def stats(self, container_id):
            found = super().stats(container_id)
            return evolve(found, **{name: each(found) if callable(each) else each for name, each in fields.items()})

    return Miscounts


class CountsAll(Broken):
    def stats(self, container_id):
        every = [super(CountsAll, self).stats(each.id) for each in self.list()]
        return evolve(super().stats(container_id), cpu_ns=sum(each.cpu_ns for each in every))


class NeverTellsOfOom(Broken):
    writers = ()

    def watch_oom(self, container_id):
        os.close(super().watch_oom(container_id))
        read, write = os.pipe()
        self.writers = (*self.writers, write)
        return read


class AlwaysTellsOfOom(Broken):
    def watch_oom(self, container_id):
        os.close(super().watch_oom(container_id))
        return os.open("/dev/null", os.O_RDONLY)


class OneWatcher(Broken):
    """Tells just the first who asks."""

    asked = False

    def watch_oom(self, container_id):
        if self.asked:
            read, write = os.pipe()
            self.writer = write
            return read
        self.asked = True
        return super().watch_oom(container_id)


class InheritedWatch(Broken):
    def watch_oom(self, container_id):
        fd = super().watch_oom(container_id)
        os.set_inheritable(fd, True)
        return fd


# --- limits -----------------------------------------------------------------------------------------------------


def updating(change):
    """A runtime that updates other limits than it is asked to."""

    class Careless(Broken):
        def update(self, container_id, resources):
            super().update(container_id, change(resources))

    return Careless


# --- streams ----------------------------------------------------------------------------------------------------


def streaming(change):
    """A runtime that takes other streams than it is given."""

    class Careless(Broken):
        def create(self, container_id, bundle, stdio):
            return super().create(container_id, bundle, change(stdio))

        def exec(self, container_id, process, stdio):
            return super().exec(container_id, process, change(stdio))

    return Careless


class KeepsTheTerminal(Broken):
    def create(self, container_id, bundle, stdio):
        made = super().create(container_id, bundle, stdio)
        if made.terminal_fd >= 0:
            os.dup(made.terminal_fd)
        return made


class InheritedTerminal(Broken):
    def create(self, container_id, bundle, stdio):
        made = super().create(container_id, bundle, stdio)
        os.set_inheritable(made.terminal_fd, True)
        return made


class TerminalAsYouLike(Broken):
    """Takes either side's word for whether there is a terminal."""

    def create(self, container_id, bundle, stdio):
        path = bundle / "config.json"
        data = json.loads(path.read_bytes())
        data["process"]["terminal"] = stdio.terminal
        path.write_text(json.dumps(data))
        return super().create(container_id, bundle, stdio)


class HostsTerminal(Broken):
    """Gives a program a terminal of the caller's /dev/pts."""

    def exec(self, container_id, process, stdio):
        if not stdio.terminal:
            return super().exec(container_id, process, stdio)
        master, slave = os.openpty()
        made = super().exec(container_id, {**process, "terminal": False}, Stdio(slave, slave, slave))
        os.close(slave)
        return evolve(made, terminal_fd=master)


# --- seccomp ----------------------------------------------------------------------------------------------------


def filtering(change):
    """A runtime that filters other calls than its bundle says."""
    return configured(lambda data: change(data["linux"]["seccomp"]))


def without_rule_field(name):
    def change(profile):
        for each in profile["syscalls"]:
            each.pop(name, None)

    return filtering(change)


def only_refusing(profile):
    for each in profile["syscalls"]:
        each["action"] = "SCMP_ACT_ERRNO"


def sensible(profile):
    profile["defaultAction"] = "SCMP_ACT_ALLOW"
    profile.pop("architectures", None)


# --- programs and namespaces ------------------------------------------------------------------------------------


class NoCause(Broken):
    """Doesn't tell what isn't there from what can't run."""

    def start(self, container_id):
        try:
            super().start(container_id)
        except Invalid as error:
            raise Invalid(str(error)) from None


class JoinsNothing(Broken):
    """Makes a namespace where it should join one."""

    def create(self, container_id, bundle, stdio):
        path = bundle / "config.json"
        data = json.loads(path.read_bytes())
        for each in data["linux"]["namespaces"]:
            each.pop("path", None)
        path.write_text(json.dumps(data))
        return super().create(container_id, bundle, stdio)


def joining_but(kind):
    def change(data):
        for each in data["linux"]["namespaces"]:
            if each["type"] == kind:
                each.pop("path", None)

    return configured(change)


def unmapped(data):
    data["linux"]["namespaces"] = [each for each in data["linux"]["namespaces"] if each["type"] != "user"]
    for name in ("uidMappings", "gidMappings"):
        del data["linux"][name]


def first_mapping(data):
    data["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 15}]


class LeavesKilled(Broken):
    """Doesn't delete what was killed before its start."""

    def delete(self, container_id, *, force=False):
        if not force:
            raise MobyError("it never ran")
        super().delete(container_id, force=force)
