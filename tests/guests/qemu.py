"""A whole machine by QEMU with Debian's kernel for clouds: every controller of version 2, AppArmor, all namespaces.

Its root is this machine's by virtiofs, read-only, so there is no image and no initramfs.
"""

import os
import socket
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from guests.machine import CACHE, Guest, Launch
from guests.modules import module_tree, plain_kernel
from peers import binaries

_MODULES = ("overlay", "veth", "null_blk", "bridge", "dummy", "ipvlan", "macvlan", "8021q")
_MEMORY = "1024M"
# The last ones make an emulated processor's start shorter.
_WORDS = (
    "console=ttyS0 quiet panic=-1 rootfstype=virtiofs root=hostroot ro apparmor=1 security=apparmor "
    "mitigations=off cryptomgr.notests nokaslr audit=0 tsc=reliable no_timer_check"
)
_EMULATED = ("-accel", "tcg,thread=multi", "-cpu", "max")
FOLDERS = tuple(word for each in ("qemu", "seabios") for word in ("-L", str(binaries.ROOT / "usr/share" / each)))
"""Where QEMU finds a machine's own programs."""
MACHINE = ("-machine", "q35", "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio")


@cache
def qemu() -> Guest:
    """Return the guest; skips the test where Debian's packages couldn't be had."""
    program = binaries.need("qemu-system-x86_64", "qemu")
    sharing = binaries.file("usr/libexec/virtiofsd", "virtiofsd")
    folder = binaries.file("usr/lib/modules", "kernel")
    (image,) = binaries.file("boot", "kernel").glob("vmlinuz-*")
    kernel = plain_kernel(CACHE, image)
    environment = binaries.environment()
    accelerated = accelerator(program, kernel)

    def share(launch: Launch, path: Path, folder: Path | str, *more: str) -> None:
        """Have a folder served at a socket, which is there at once."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen()
            number = listener.fileno()
            words = [sharing, f"--fd={number}", f"--shared-dir={folder}", "--sandbox=none", "--log-level=error", *more]
            launch(words, env=environment, pass_fds=[number])

    def boot(launch: Launch, short: Path, shared: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
        share(launch, short / "root", "/", "--readonly")
        share(launch, short / "shared", shared)
        return launch(
            [
                program, *FOLDERS, *accelerated, *MACHINE, "-m", _MEMORY, "-smp", "2",
                "-object", f"memory-backend-memfd,id=memory,size={_MEMORY},share=on", "-numa", "node,memdev=memory",
                *(
                    word
                    for name, tag in (("root", "hostroot"), ("shared", "shared"))
                    for word in (
                        "-chardev", f"socket,id={name},path={short / name}",
                        "-device", f"vhost-user-fs-pci,chardev={name},tag={tag}",
                    )
                ),
                "-kernel", kernel, "-append", f"{_WORDS} init={' '.join(words)}",
            ],
            env=environment,
        )  # fmt: skip

    return Guest("qemu", module_tree(CACHE, folder), _MODULES, boot, accelerated == _EMULATED)


@cache
def accelerator(program: Path, kernel: Path) -> tuple[str, ...]:
    """Return what QEMU is to run on: this machine's virtual machines where they really work, else emulation.

    That /dev/kvm opens is not enough, since some can't run just any kernel: so ours comes up, for want of a root goes
    down, and has seconds for what takes one.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return _EMULATED
    virtual = ("-accel", "kvm", "-cpu", "host")
    words = "console=ttyS0 panic=-1"
    command = [program, *FOLDERS, *virtual, *MACHINE, "-m", "256M", "-kernel", kernel, "-append", words]
    try:
        done = subprocess.run(
            command, env=binaries.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False
        )
    except subprocess.TimeoutExpired:
        return _EMULATED
    return virtual if done.returncode == 0 and b"Unable to mount root" in done.stdout else _EMULATED
