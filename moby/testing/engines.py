"""A whole engine around a part under test, for kinds whose suites need one: its other parts are those of `docker`."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.images import ImageConfig
from moby.engine import start
from moby.oci import layer
from moby.oci.pack import Packing
from moby.oci.reference import parse
from moby.plan import Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings
from moby.testing.bundles import PROGRAMS, make_rootfs
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

__all__ = ["IMAGE", "Whole", "whole"]

IMAGE = "box"
LINGER_S = 1.0
_MORE_PROGRAMS = ("ps", "dd", "stty", "rm", "ln", "mount", "chmod", "grep", "kill")


class Whole:
    """A running engine; `again` ends it in an orderly way, and begins another on what it wrote."""

    def __init__(self, plan: Plan, roots: Roots, stack: ExitStack) -> None:
        self._plan = plan
        self._around = Surroundings(roots, log_level="error", linger_s=LINGER_S)
        self._running = stack.enter_context(ExitStack())
        self.again()

    def again(self) -> None:
        """End it, where it runs, and begin."""
        self._running.close()
        engine = self._running.enter_context(start(self._plan, around=self._around))
        self._parts = {key.partition("/")[0]: part for key, part in engine.instances.items()}
        self._all = engine.instances

    def part(self, kind: str) -> Any:
        """Return its part of a kind, or one of them."""
        return self._parts[kind]

    def reclaim(self) -> None:
        """Have all parts undo what outlives them."""
        for each in reversed([*self._all.values()]):
            if hasattr(each, "reclaim"):
                each.reclaim()


@contextmanager
def whole(plan: Plan, folder: Path) -> Iterator[Whole]:
    """Lend an engine of a plan, in namespaces of its own, with an image; nothing of it is left. As root only."""
    if os.geteuid():
        pytest.skip("a whole engine has mounts and networks of its own; runs as root")
    roots = Roots.under(folder / "engine", plan.name)
    with own_mounts(shared=True), own_network(), ExitStack() as stack:
        stack.callback(Launcher(roots.run, linger_s=LINGER_S).end)
        engine = Whole(plan, roots, stack)
        stack.callback(engine.reclaim)
        _add_image(engine.part("images"), make_rootfs(folder / "rootfs", (*PROGRAMS, *_MORE_PROGRAMS)))
        yield engine


def _add_image(images: Any, rootfs: Path) -> None:
    (rootfs / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n", encoding="ascii"
    )
    (rootfs / "etc/group").write_text("root:x:0:\nusers:x:100:ann\nextra:x:200:\n", encoding="ascii")
    fd = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY)
    try:
        config = ImageConfig(command=("sh",), environment=("PATH=/bin",))
        images.add(parse(IMAGE), [layer.write(Packing(fd).entries())], config)
    finally:
        os.close(fd)
