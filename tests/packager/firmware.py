"""A machine with UEFI, emulated, that starts from a disk or a disc as any would."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from guests.qemu import FOLDERS, MACHINE
from peers import binaries

PATIENCE_S = 800
KERNEL_FOLDER = binaries.ROOT
"""Below which packages of a kernel and of a stub were unpacked."""
STUB = binaries.ROOT / "usr/lib/systemd/boot/efi/linuxx64.efi.stub"


def started(disk: Sequence[str], folder: Path, *words: str) -> str:
    """Start a machine that runs words at its console, wait until it has gone down, and return what it said."""
    program = binaries.need("qemu-system-x86_64", "qemu")
    code = binaries.file("usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf")
    settings = folder / "settings"
    shutil.copy(code.with_name("OVMF_VARS_4M.fd"), settings)
    flash = "if=pflash,format=raw"
    # An emulated clock that waits for a busy processor would otherwise be taken for a broken one.
    extra = f"io.systemd.stub.kernel-cmdline-extra=MOBY_RUN={','.join(words)} no_timer_check"
    command = [
        program, *FOLDERS, *MACHINE, "-accel", "tcg", "-cpu", "max", "-m", "512M", *disk,
        "-drive", f"{flash},readonly=on,file={code}", "-drive", f"{flash},file={settings}",
        "-smbios", f"type=11,value={extra}",
    ]  # fmt: skip
    done = subprocess.run(
        command, env=binaries.environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="replace")
