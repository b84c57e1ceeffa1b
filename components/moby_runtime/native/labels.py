"""Labels of the host's security modules, where it has them: AppArmor's profile, SELinux's contexts."""

from __future__ import annotations

import os

from moby.errors import HostUnfit
from moby.host.files import read_text
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.values import ProcessSpec


__all__ = ["apply", "need"]

_UNCONFINED = "unconfined"
_OWN = "/proc/self/attr"


def need(process: ProcessSpec, mount_label: str = "") -> None:
    """Raise HostUnfit where a label is asked for whose security module isn't at work here."""
    if process.apparmor not in ("", _UNCONFINED) and not _has_apparmor():
        raise _lacking("process.apparmorProfile", "AppArmor")
    for field, label in (("process.selinuxLabel", process.selinux), ("linux.mountLabel", mount_label)):
        if label and not os.path.exists("/sys/fs/selinux/enforce"):
            raise _lacking(field, "SELinux")


def _has_apparmor() -> bool:
    try:
        return read_text("/sys/module/apparmor/parameters/enabled").startswith("Y")
    except OSError:
        return False


def _lacking(field: str, name: str) -> HostUnfit:
    return HostUnfit(
        f"there is no {name} at work on this host (config.json: {field})",
        hint=f"leave the field out, or boot a kernel with {name} (lsm=)",
    )


def apply(process: ProcessSpec) -> None:
    """Have the next program run under the labels of a process; /proc must be the host's still.

    AppArmor: apparmor(7), aa_change_onexec(2). SELinux: setexeccon(3).
    """
    if process.apparmor and _has_apparmor():
        with doing(f"set the AppArmor profile {process.apparmor}", "process.apparmorProfile"):
            _write("apparmor/exec", f"exec {process.apparmor}")
    if process.selinux:
        with doing(f"set the SELinux context {process.selinux}", "process.selinuxLabel"):
            _write("", process.selinux)


def _write(own: str, text: str) -> None:
    """Write one attribute: the module's own file where it has one, else the one that the first module has."""
    path = f"{_OWN}/{own}"
    if not own or not os.access(path, os.F_OK):
        path = f"{_OWN}/exec"
    # In one write, and without the name of the file, which says nothing to who wrote the bundle.
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
