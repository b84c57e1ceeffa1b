"""The verb `run`: from an image to a container, its streams, its exit code, and nothing left."""

import errno
import json
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from moby.contracts.ambient import Log, Place
from moby.contracts.command import ENGINE_FAILED
from moby.contracts.images import Image, Images
from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import Supervisor, TaskConfig
from moby.errors import HostUnfit, Invalid, MobyError, NotFound, Unavailable
from moby.host import claims
from moby.oci.spec import BUILTIN, UNCONFINED, container_spec, rootless
from moby.oci.user import resolve_user
from moby.values import evolve
from moby_supervisor.run import terminal
from moby_supervisor.run.arguments import Arguments, parse
from moby_supervisor.run.forwarding import Forwarding
from moby_supervisor.run.pump import Copy, Pump
from moby_supervisor.run.signals import Interrupted, Signals

__all__ = ["NOT_FOUND", "NOT_RUNNABLE", "Run"]

NOT_RUNNABLE, NOT_FOUND = 126, 127
"""Exit codes, besides ENGINE_FAILED, that aren't the container's (docker-run(1), exit status)."""
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_REMEDIES = {
    errno.ENOSPC: "free space on that file system, or choose another one with --root",
    errno.EDQUOT: "free space within the quota, or choose another place with --root",
    errno.EROFS: "choose a writable place with --root",
    errno.EACCES: "choose a place of your own with --root",
    errno.EMFILE: "raise the limit of open files, as with ulimit -n",
}
_GRACE_S = 5.0
"""Between two requests to end, once the terminal has hung up; both together are what `docker stop` waits."""


class Run:
    """Runs a container in the foreground; main thread only, since it takes the process's signals over.

    Where the terminal hangs up, the container is asked to end: twice `grace_s` seconds later it is killed.
    """

    def __init__(
        self, images: Images, supervisor: Supervisor, place: Place, log: Log, *, grace_s: float = _GRACE_S
    ) -> None:
        self._images = images
        self._supervisor = supervisor
        self._place = place
        self._log = log
        self._grace_s = grace_s

    def run(self, arguments: Sequence[str]) -> int:
        """Return the container's exit code; errors that are raised carry 125, 126 or 127."""
        _open_standard_streams()
        try:
            asked = parse(arguments)
            if asked.interactive and asked.terminal and not os.isatty(_STDIN):
                raise Invalid("the input device is not a TTY", hint="leave -t out, or run this from a terminal")
            with Signals() as signals, ExitStack() as cleanup:
                return self._session(asked, signals, cleanup)
        except SystemExit as usage:
            return ENGINE_FAILED if usage.code else 0
        except Interrupted as interrupted:
            return 128 + interrupted.number
        except OSError as error:
            unfit = _unfit(error)
            unfit.exit_code = ENGINE_FAILED
            raise unfit from error
        except MobyError as error:
            error.exit_code = error.exit_code if error.exit_code in (NOT_RUNNABLE, NOT_FOUND) else ENGINE_FAILED
            raise

    def _session(self, asked: Arguments, signals: Signals, cleanup: ExitStack) -> int:
        for left in claims.abandoned(self._place.run):
            left.release()
        image = self._image(asked.image)
        container = secrets.token_hex(32)
        with signals.deferred():
            bundle = claims.claim(self._place.run, container)
            cleanup.callback(bundle.release)
        rootfs = cleanup.enter_context(self._images.rootfs(image))
        self._write_config(asked, image, container, bundle.path, rootfs)
        # From here on there is something to clean up that must not be left half-way, and soon somebody to hand to.
        signals.hold()
        window = terminal.window() if asked.terminal else None
        with _program_failure(otherwise=ENGINE_FAILED):
            self._supervisor.create(
                TaskConfig(container, bundle.path, asked.runtime, asked.terminal, asked.interactive, window=window)
            )
        cleanup.callback(self._supervisor.delete, container, force=True)
        pump = self._pump(asked, container, signals, cleanup)
        if asked.terminal and asked.interactive:
            cleanup.enter_context(terminal.raw(_STDIN))
        with _program_failure(otherwise=NOT_FOUND):
            self._supervisor.start(container)
        pump.run()
        return self._exit_code(container)

    def _image(self, name: str) -> Image:
        try:
            return self._images.get(name)
        except NotFound as error:
            hint = f"`image ls` lists images; `image from-host --tag {name}` makes one of this host's own programs"
            raise NotFound(error.message, hint=hint) from error

    def _write_config(self, asked: Arguments, image: Image, container: str, bundle: Path, rootfs: Path) -> None:
        hostname = socket.gethostname() if asked.network == "host" else container[:12]
        request = asked.request(hostname=hostname)
        if request.seccomp == BUILTIN and RuntimeFeature.SECCOMP not in self._supervisor.features(asked.runtime):
            self._log.warning(
                "the runtime filters no system calls, so the container may make all of them",
                fix="choose a runtime that offers seccomp, or say --security-opt seccomp=unconfined",
            )
            request = evolve(request, seccomp=UNCONFINED)
        user = resolve_user(rootfs, asked.user or image.config.user)
        spec = container_spec(image.config, request, user=user, rootfs=rootfs)
        if os.geteuid() != 0:
            spec = rootless(spec, uid=os.geteuid(), gid=os.getegid())
        (bundle / "config.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")

    def _pump(self, asked: Arguments, container: str, signals: Signals, cleanup: ExitStack) -> Pump:
        """Join our standard streams to the task's."""
        exit_fd = self._supervisor.exit_fd(container)
        cleanup.callback(os.close, exit_fd)
        streams = self._supervisor.attach(container)
        outputs = [
            Copy(source, sink, _owned(source, cleanup))
            for source, sink in ((streams.stdout, _STDOUT), (streams.stderr, _STDERR))
            if source >= 0
        ]
        inputs = []
        if streams.stdin >= 0:
            os.set_blocking(streams.stdin, False)
            inputs.append(Copy(_STDIN, streams.stdin, _owned(streams.stdin, cleanup)))
        forwarding = Forwarding(
            self._supervisor, container, signals, with_terminal=asked.terminal, grace_s=self._grace_s
        )
        pump = Pump(tuple(outputs), tuple(inputs), exit_fd, signals.descriptor, forwarding.take)
        if asked.terminal and signals.hears(signal.SIGHUP):
            pump.terminal_fd, pump.on_hang_up = terminal.among_streams(), forwarding.hang_up
            if pump.terminal_fd >= 0:
                cleanup.callback(os.close, pump.terminal_fd)
        return pump

    def _exit_code(self, container: str) -> int:
        ended = self._supervisor.state(container).exit
        if ended is None or ended.code is None:
            raise Unavailable(
                "how the container ended isn't known", hint="another part of this process reaped its first process"
            )
        return ended.code


@contextmanager
def _program_failure(*, otherwise: int) -> Iterator[None]:
    """Give an error that is about the program the exit code that a shell would."""
    try:
        yield
    except Invalid as error:
        cause = error.__cause__
        if isinstance(cause, OSError):
            otherwise = NOT_FOUND if cause.errno == errno.ENOENT else NOT_RUNNABLE
        error.exit_code = otherwise
        raise


def _unfit(error: OSError) -> HostUnfit:
    """Return what the kernel's refusal, of a file or of a descriptor, is to a user."""
    where = f"{error.filename}: " if error.filename else ""
    return HostUnfit(f"{where}{error.strerror or error}", hint=_REMEDIES.get(error.errno or 0, ""))


def _owned(descriptor: int, cleanup: ExitStack) -> Callable[[], None]:
    """Return what closes a descriptor: when it is called, or else at cleanup."""
    closing = ExitStack()
    closing.callback(os.close, descriptor)
    cleanup.push(closing)
    return closing.close


def _open_standard_streams() -> None:
    """Open those that our caller closed, lest a pipe of ours gets such a number and is taken for one of them."""
    for each in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(each)
        except OSError:
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)  # the lowest number that is free
