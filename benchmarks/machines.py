"""How long a machine takes from its start to a container's output, beside the same kernel that starts busybox alone."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.measure import Row
from moby import distribution
from moby.machines import qemu, uml
from moby.machines.kernels import plain_kernel
from moby.machines.machine import Machine

__all__ = ["rows"]

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / each) for each in ("tests", "tests/packager", "components")]
RUNS = 5
TARGET = 1.35
MEMORY_MB = 512
OURS, FLOOR = "a container's line", "the floor's line"
SCRIPT = f"#!/bin/busybox sh\n/bin/busybox echo {FLOOR!r}\n/bin/busybox poweroff -f\n"


@frozen
class Started:
    """What starts a machine with an initrd, and its environment."""

    words: Callable[[Path, Path], Sequence[str]]
    """Of a kernel and an initrd."""
    environment: Mapping[str, str]

    def seconds(self, kernel: Path, initrd: Path, line: str) -> float:
        """Return how long it takes to say a line; SystemExit where it doesn't."""
        began = time.perf_counter()
        with subprocess.Popen(
            self.words(kernel, initrd), env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            said = b""
            took = 0.0
            for each in process.stdout:
                said += each
                took = took or (time.perf_counter() - began if line.encode() in each else 0.0)
        if not took:
            raise SystemExit(f"it never said {line!r}:\n{said.decode(errors='replace')[-2000:]}")
        return took


def rows() -> list[Row]:
    """Measure both kinds of machine; needs what `tools/peers uml kernel qemu busybox zstd` unpacks."""
    with tempfile.TemporaryDirectory(prefix="moby-") as name:
        folder = Path(name)
        return [_row("user-mode Linux", "uml", folder), _row("QEMU, the processor emulated", "pc", folder)]


def _row(what: str, kind: str, folder: Path) -> Row:
    from booting import busybox_image, environment, manifest, service  # type: ignore[import-not-found]

    image = busybox_image(folder / "busybox.tar")
    command = ["/bin/busybox", "echo", OURS]
    said = {**service("hello", image, ""), "command": command}
    file = manifest(folder / f"{kind}.yaml", onboot=[said], machine=kind, level=0, network="none")
    made = distribution.assemble(str(file), folder / kind)
    machine = Machine(made.name, made.folder)
    floor = _floor(folder / f"{kind}.floor")
    found = environment(folder)
    os.environ.update({each: found[each] for each in ("PATH", "LD_LIBRARY_PATH")})
    kernel = machine.kernel if kind == "uml" else plain_kernel(machine.kernel, folder)
    starting = _as_uml(folder) if kind == "uml" else Started(_by_qemu, found)
    taken: list[tuple[float, float]] = []
    for number in range(RUNS + 1):
        pair = (starting.seconds(kernel, machine.initrd, OURS), starting.seconds(kernel, floor, FLOOR))
        taken += [pair] if number else []
    ours, least = (statistics.median(each) * 1000 for each in zip(*taken, strict=True))
    return Row(f"{what}: start to a container's output", ours, "busybox alone says a line", least, TARGET)


def _floor(path: Path) -> Path:
    from moby_packager.trees.squeezing import zstd  # type: ignore[import-untyped,unused-ignore]
    from moby_packager.vm.cpio import Record, write  # type: ignore[import-untyped,unused-ignore]
    from peers import binaries  # type: ignore[import-not-found]

    program = binaries.need("busybox", "busybox").read_bytes()
    records = [
        Record("bin", 0o40755), Record("bin/busybox", 0o100755, program), Record("init", 0o100755, SCRIPT.encode()),
    ]  # fmt: skip
    path.write_bytes(zstd(write(records, 0), 12))
    return path


def _as_uml(folder: Path) -> Started:
    def words(kernel: Path, initrd: Path) -> Sequence[str]:
        return [
            str(kernel), f"mem={MEMORY_MB}M", f"uml_dir={folder}", "con=null", "con0=null,fd:1", "con1=null",
            "ssl=null", f"initrd={initrd}", "quiet", "loglevel=3", "panic=-1",
        ]  # fmt: skip

    return Started(words, uml.environment(MEMORY_MB, folder, folder))


def _by_qemu(kernel: Path, initrd: Path) -> Sequence[str]:
    return [
        str(qemu.program()), *qemu.EMULATED, *qemu.BARE, "-m", f"{MEMORY_MB}M", "-serial", "stdio", "-kernel",
        str(kernel), "-initrd", str(initrd), "-append", f"console=ttyS0 quiet loglevel=3 panic=-1 {qemu.QUICKER}",
    ]  # fmt: skip
