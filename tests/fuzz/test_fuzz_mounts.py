"""Lists of mount options against the kernel's own word: what a mount has in the end is what the last of them said."""

import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from moby_runtime.native.mount_options import MountOptions, parse

from moby.host import mounts, namespaces

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts; run by root this is covered"),
]

SECONDS = float(os.environ.get("MOBY_FUZZ_SECONDS", "20")) * 0.03
SEED = int(os.environ.get("MOBY_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
PAIRS = (("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"), ("nosymfollow", "symfollow"),
         ("nodiratime", "diratime"))  # fmt: skip
TIMES = ("noatime", "relatime", "strictatime")
ATIME = (*TIMES, "atime", "norelatime", "nostrictatime")


def expected(options: list[str]) -> set[str]:
    """What mount(8) says: of two that contradict each other the later one holds."""
    found = set()
    for on, off in PAIRS:
        spoken = [each for each in options if each in (on, off)]
        found |= set(spoken[-1:]) & {on}
    return found


def shown(point: Path) -> set[str]:
    """What the kernel says of a mount."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    own = [line.split()[5].split(",") for line in lines if line.split()[4] == str(point)]
    return set(own[-1]) & {on for on, _ in PAIRS}


def new(point: Path, options: MountOptions) -> None:
    mounts.mount("t", str(point), "tmpfs", options.flags)


def bound(point: Path, options: MountOptions) -> None:
    tree = mounts.clone_tree(str(point.parent / "source"))
    mounts.set_attributes(tree, on=options.on, off=options.off)
    target = os.open(point, os.O_PATH)
    mounts.attach(tree, target)
    os.close(target)
    os.close(tree)


@pytest.mark.parametrize("how", [new, bound])
def test_lists_of_options(how: Callable[[Path, MountOptions], None]) -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "source").mkdir()
    (folder / "point").mkdir()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = "nothing was tried"
        try:
            namespaces.unshare(namespaces.FLAGS["mount"])
            mounts.set_propagation("/", "rprivate")
            told = tried(folder / "point", how)
        except BaseException as error:
            told = repr(error)
        finally:
            os.write(write, told.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.waitpid(pid, 0)
    for each in (folder / "source", folder / "point", folder):
        each.rmdir()
    assert text == "", f"MOBY_FUZZ_SEED={SEED}"


def tried(point: Path, how: Callable[[Path, MountOptions], None]) -> str:
    chance = random.Random(f"{SEED} {how.__name__}")
    names = [name for pair in PAIRS for name in pair]
    end = time.monotonic() + SECONDS
    while True:
        options = chance.choices([*names, *ATIME], k=chance.randrange(12))
        how(point, parse(options))
        found = shown(point)
        mounts.unmount(str(point))
        if found != expected(options):
            return f"{options}: {sorted(found)}, not {sorted(expected(options))}"
        if time.monotonic() > end:
            return ""
