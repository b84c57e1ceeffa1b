"""A machine by QEMU: hardware virtualization where it works, which is found out by running it, else emulation."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from moby.errors import HostUnfit
from moby.host import programs
from moby.machines.kernels import plain_kernel
from moby.machines.machine import Machine

__all__ = ["BARE", "EMULATED", "QUICKER", "VIRTUAL", "accelerator", "command", "program"]

PROGRAM = "qemu-system-x86_64"
VIRTUAL = ("-accel", "kvm", "-cpu", "host")
EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "max")
QUICKER = "mitigations=off cryptomgr.notests nokaslr audit=0 tsc=reliable no_timer_check"
"""Words that make an emulated processor's start shorter; what they take away protects nobody from this machine."""
_PATIENCE_S = 5
BARE = ("-machine", "q35,sata=off,smbus=off", "-nodefaults", "-display", "none", "-no-reboot")
_CAME_UP = b"Unable to mount root"


def program() -> Path:
    """Return where QEMU is; HostUnfit where it isn't."""
    found = programs.find(PROGRAM)
    if found is None:
        raise HostUnfit(f"{PROGRAM} isn't there", hint="apt install qemu-system-x86, or moby boot --uml")
    return Path(found)


def command(
    machine: Machine, arguments: Sequence[str], report: Path, cache: Path, *, memory_mb: int, data: Path | None,
    network: bool, interactive: bool,
) -> list[str]:  # fmt: skip
    """Return what starts a machine at this terminal, with its reports going to a socket that waits for it."""
    qemu = program()
    accelerated = accelerator(qemu, machine.kernel, cache)
    emulated = accelerated == EMULATED
    kernel = plain_kernel(machine.kernel, cache) if emulated else machine.kernel
    line = machine.command_line(arguments, QUICKER if emulated else "")
    disk = ["-drive", f"if=virtio,format=raw,file={_escaped(data)}"] if data else []
    nic = ["-nic", "user,model=virtio-net-pci"] if network else []
    return [
        str(qemu), *accelerated, *BARE, "-m", f"{memory_mb}M",
        "-chardev", f"stdio,id=console,signal=off,mux={'on' if interactive else 'off'}", "-serial", "chardev:console",
        *(["-mon", "chardev=console"] if interactive else []),
        "-chardev", f"socket,id=report,path={_escaped(report)}", "-serial", "chardev:report",
        *disk, *nic, "-kernel", str(kernel), "-initrd", str(machine.initrd), "-append", line,
    ]  # fmt: skip


def accelerator(qemu: Path, kernel: Path, cache: Path) -> tuple[str, ...]:
    """Return what QEMU is to run on; found out once since this host was started.

    That /dev/kvm opens is not enough, since some can't run just any kernel: so ours comes up, and for want of a root
    goes down again, within some seconds.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    known = cache / f"kvm-{boot}"
    if not known.exists():
        cache.mkdir(parents=True, exist_ok=True)
        known.write_text("works" if _works(qemu, kernel) else "fails", encoding="ascii")
    return VIRTUAL if known.read_text(encoding="ascii") == "works" else EMULATED


def _works(qemu: Path, kernel: Path) -> bool:
    words = ["-serial", "stdio", "-m", "256M", "-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(
            [qemu, *VIRTUAL, *BARE, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and _CAME_UP in done.stdout


def _escaped(path: Path) -> str:
    """Return a path as a value among QEMU's comma-separated ones."""
    return str(path).replace(",", ",,")
