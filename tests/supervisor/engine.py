"""A whole engine wired by hand, as a program: engine.py ROOT RUNTIME ROOTFS run|bundle ARGUMENTS..."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from ambient import ListLog, RealClock
from forking import ForkingRuntime
from moby_supervisor.foreground.tasks import Foreground
from moby_supervisor.run.bundle import Bundle
from moby_supervisor.run.command import Run
from moby_supervisor.run.forwarding import Forwarding

from moby.contracts.ambient import Place
from moby.contracts.images import Image, ImageConfig
from moby.contracts.types import Digest, Platform
from moby.errors import MobyError, NotFound


class OneImage:
    """Images with just `demo`, whose root file system is a folder that stays."""

    def __init__(self, rootfs):
        self.lent = rootfs

    def get(self, name):
        if name != "demo":
            raise NotFound(f"there is no image {name!r}; there are: demo")
        digest = Digest("sha256", "0" * 64)
        config = ImageConfig(command=("sh", "-c", "echo default command"), environment=("FROM_IMAGE=yes",))
        return Image(digest, digest, (), config, Platform.host(), (), 0)

    @contextlib.contextmanager
    def rootfs(self, image):
        lent = self.lent.with_name("lent")
        lent.touch()
        try:
            if blocking := os.environ.get("ENGINE_BLOCKS_ON"):
                with Path(blocking).open("wb") as waiting:
                    waiting.write(b"!")
                    waiting.flush()
                    time.sleep(60)
            yield self.lent
        finally:
            lent.unlink()


def place(root, name):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    return Place(folder, folder, folder, "test")


def runtime(name, root):
    if name == "forking":
        return ForkingRuntime()
    from moby_runtime.native.runtime import Native

    return Native(place(root, "native"))


def be_patient_once_asked(grace_s):
    """Have who was sent SIGTERM have another time to end in than who was told by SIGHUP alone."""
    kill = Forwarding._kill

    def kills(forwarding, number):
        kill(forwarding, number)
        if number == signal.SIGTERM:
            forwarding._grace_s = grace_s

    Forwarding._kill = kills


def main(root, runtime_name, rootfs, verb, *arguments):
    root = Path(root)
    runtimes = {runtime_name: runtime(runtime_name, root)}
    try:
        log = ListLog()
        with Foreground(runtimes, place(root, "supervisor").run, RealClock(), log) as supervisor:
            if verb == "bundle":
                return Bundle(supervisor, place(root, "bundle")).run(arguments)
            grace_s = float(os.environ.get("ENGINE_GRACE_S", "5"))
            be_patient_once_asked(float(os.environ.get("ENGINE_ASKED_GRACE_S", grace_s)))
            return Run(OneImage(Path(rootfs)), supervisor, place(root, "run"), log, grace_s=grace_s).run(arguments)
    except MobyError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
