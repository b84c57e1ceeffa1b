"""RUN: a program in a root, by the engine's supervisor, and what it changed as a snapshot."""

import os
import secrets
import select
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from attrs import frozen

from moby.contracts.ambient import Log
from moby.contracts.builder import BuildFailed, Session
from moby.contracts.networks import Networks, Sandbox
from moby.contracts.supervisor import Streams, Supervisor, TaskConfig
from moby.contracts.types import Exit, Limits
from moby.errors import Invalid, MobyError, NotFound
from moby.host.mounts import open_in_root
from moby.oci.user import User, resolve_user
from moby.values import evolve
from moby_builder.dockerfile.effects import bundle
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.effects.endings import failed, judge, unstarted
from moby_builder.dockerfile.effects.run_mounts import RunMounts
from moby_builder.dockerfile.effects.sandboxes import Sandboxes
from moby_builder.dockerfile.effects.stubs import without_stubs
from moby_builder.dockerfile.effects.workspace import Draft, Workspace
from moby_builder.dockerfile.operations import Node, Run
from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["Running"]

_TASKS = "build-"
"""Before the ids of the tasks that are a builder's."""
_CHUNK = 64 << 10
_NO_NETWORK = Sandbox("")


@frozen
class _Output:
    """What a task's streams are told to be."""

    fd: int
    stream: int


class Running:
    """Runs programs. Thread-safe."""

    def __init__(
        self,
        supervisor: Supervisor,
        networks: Networks,
        workspace: Workspace,
        caches: CacheMounts,
        log: Log,
        *,
        most_processes: int = 0,
    ) -> None:
        self._supervisor = supervisor
        self._workspace = workspace
        self._caches = caches
        self._log = log
        self._sandboxes = Sandboxes(networks, log)
        self._most_processes = most_processes

    def run(self, node: Node, inputs: Sequence[Tree], session: Session, watch: Watch) -> Tree:
        """Run a node's program; BuildFailed where it doesn't end well, as BuildKit words that."""
        run = node.operation
        assert isinstance(run, Run)
        with ExitStack() as stack:
            memory = stack.enter_context(self._workspace.memory(0o711))
            draft = stack.enter_context(self._workspace.writing(inputs[0].snapshot))
            lent = RunMounts(
                stack, memory, workspace=self._workspace, caches=self._caches, session=session, cancel=watch.cancel,
                description=" ".join(run.arguments),
            )  # fmt: skip
            mounts = lent.make(run.mounts, inputs)
            sandbox = stack.enter_context(self._sandbox(run))
            mounts = [*bundle.etc_mounts(memory, run, sandbox), *mounts]
            settled = bundle.Settled(
                id=_TASKS + secrets.token_hex(16), rootfs=draft.path, user=_user(draft.path, node), sandbox=sandbox,
                mounts=tuple(mounts), environment=tuple(lent.environment), limits=self._limits(run),
            )  # fmt: skip
            bundle.write_spec(memory, run, settled)
            with _prepared(draft, run, [each.destination for each in mounts]):
                ended = self._supervise(settled.id, memory, node, watch)
            judge(ended, node, watch)
            draft.keep()
        return draft.tree

    def sweep(self) -> None:
        """End what a killed engine's builds have left running; called while nobody builds."""
        for each in self._supervisor.list():
            if each.id.startswith(_TASKS):
                with suppress(NotFound):
                    self._supervisor.delete(each.id, force=True)

    def close(self) -> None:
        """Give back what is kept for the next step."""
        self._sandboxes.close()

    @contextmanager
    def _sandbox(self, run: Run) -> Iterator[Sandbox]:
        if run.network in ("none", "host"):
            yield Sandbox("host") if run.network == "host" else _NO_NETWORK
            return
        with self._sandboxes.lend(run.network, again=not run.network and not run.insecure) as sandbox:
            yield sandbox

    def _limits(self, run: Run) -> Limits:
        asked = run.limits
        return asked if asked.pids else evolve(asked, pids=self._most_processes)

    def _supervise(self, task_id: str, folder: Path, node: Node, watch: Watch) -> Exit | None:
        """Run a bundle to its end, or until it is given up; return how it ended. Nothing is left of the task."""
        watch.cancel.check()
        try:
            self._supervisor.create(TaskConfig(task_id, folder))
            back = watch.cancel.add(lambda: self._end(task_id))
            try:
                streams = self._supervisor.attach(task_id)
                with _closing(streams):
                    self._supervisor.start(task_id)
                    _pump(streams, watch)
                return self._wait(task_id)
            finally:
                back()
        except (Invalid, NotFound) as error:
            watch.cancel.check()  # it was ended then
            raise unstarted(error, node, watch) from error
        finally:
            self._end(task_id)

    def _wait(self, task_id: str) -> Exit | None:
        """Return how a task ended whose output is at its end, which may be long before."""
        fd = self._supervisor.exit_fd(task_id)
        try:
            waiting = select.poll()  # which, unlike select, takes a descriptor of any number
            waiting.register(fd, select.POLLIN)
            waiting.poll()
        finally:
            os.close(fd)
        return self._supervisor.state(task_id).exit

    def _end(self, task_id: str) -> None:
        try:
            with suppress(NotFound):
                self._supervisor.delete(task_id, force=True)
        except (MobyError, OSError) as error:
            self._log.warning("a build's task can't be removed", task=task_id, error=str(error))


def _user(rootfs: Path, node: Node) -> User:
    run = node.operation
    assert isinstance(run, Run)
    try:
        return resolve_user(rootfs, run.user)
    except NotFound as error:
        name, _, group = run.user.partition(":")
        if "group" in error.message.split("'")[0]:
            said = f"unable to find group {group}: no matching entries in group file"
        else:
            said = f"unable to find user {name}: no matching entries in passwd file"
        raise BuildFailed(f"{failed(node)}: {said}") from error


@contextmanager
def _prepared(draft: Draft, run: Run, targets: Sequence[str]) -> Iterator[None]:
    """Have the working folder there, and the places of mounts gone again afterwards that a root didn't have."""
    root = os.open(draft.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with without_stubs(root, targets):
            _make_folder(root, run.folder)
            yield
    finally:
        os.close(root)


def _make_folder(root: int, path: str) -> None:
    reached = ""
    try:
        for name in path.split("/"):
            above, reached = reached, f"{reached}/{name}".replace("//", "/")
            if name not in ("", ".") and not _is_there(root, reached):
                fd = open_in_root(root, above or "/", os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.mkdir(name, 0o755, dir_fd=fd)
                finally:
                    os.close(fd)
        os.close(open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY))
    except OSError as error:
        raise BuildFailed(f"can't work in {path}: {(error.strerror or '').lower()}") from error


def _is_there(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path))
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _closing(streams: Streams) -> Iterator[None]:
    try:
        yield
    finally:
        for fd in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(fd)


def _pump(streams: Streams, watch: Watch) -> None:
    """Pass output on until all of it has ended."""
    poll = select.poll()
    outputs = {each.fd: each for each in (_Output(streams.stdout, 1), _Output(streams.stderr, 2)) if each.fd >= 0}
    for fd in outputs:
        poll.register(fd, select.POLLIN)
    while outputs:
        for fd, _ in poll.poll():
            data = os.read(fd, _CHUNK)
            if data:
                watch.log(outputs[fd].stream, data)
            else:
                poll.unregister(fd)
                del outputs[fd]
