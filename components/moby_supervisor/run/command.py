"""The verb `run`: from an image to a container, its streams, its exit code, and nothing left."""

import json
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from moby.contracts.ambient import Log, Place
from moby.contracts.images import Image, Images
from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import Supervisor, TaskConfig
from moby.errors import Invalid, NotFound
from moby.host import claims
from moby.oci.spec import BUILTIN, UNCONFINED, container_spec, reduced, rootless
from moby.oci.user import resolve_user
from moby.values import evolve
from moby_supervisor.run.arguments import Arguments, parse
from moby_supervisor.run.session import GRACE_S, NOT_FOUND, NOT_RUNNABLE, STDIN, Session, code_of
from moby_supervisor.run.signals import Signals

__all__ = ["NOT_FOUND", "NOT_RUNNABLE", "Run"]


class Run:
    """Runs a container in the foreground; main thread only, since it takes the process's signals over.

    Where the terminal hangs up, the container is asked to end: twice `grace_s` seconds later it is killed.
    """

    def __init__(
        self, images: Images, supervisor: Supervisor, place: Place, log: Log, *, grace_s: float = GRACE_S
    ) -> None:
        self._images = images
        self._supervisor = supervisor
        self._place = place
        self._log = log
        self._grace_s = grace_s

    def run(self, arguments: Sequence[str]) -> int:
        """Return the container's exit code; errors that are raised carry 125, 126 or 127."""
        return code_of(lambda: self._asked(arguments))

    def _asked(self, arguments: Sequence[str]) -> int:
        asked = parse(arguments)
        if asked.interactive and asked.terminal and not os.isatty(STDIN):
            raise Invalid("the input device is not a TTY", hint="leave -t out, or run this from a terminal")
        with Signals() as signals, ExitStack() as cleanup:
            return self._session(asked, signals, cleanup)

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
        config = TaskConfig(container, bundle.path, asked.runtime, asked.terminal, asked.interactive)
        return Session(self._supervisor, self._grace_s).run(config, signals, cleanup)

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
        spec, lost = reduced(spec, self._supervisor.features(asked.runtime))
        for each in lost:
            self._log.warning(f"the runtime isolates less than others do: {each}", fix="choose another runtime")
        (bundle / "config.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
