"""Settings of a host that stand in a container's way."""

from pathlib import Path

__all__ = ["confinement", "forbidding_setting", "in_bare_chroot", "namespace_limit"]

_USER_SETTINGS = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)


def forbidding_setting(root: Path = Path("/proc/sys")) -> str:
    """Return the command that lifts what keeps ordinary users from user namespaces; empty where nothing does."""
    for name, forbids, wanted in _USER_SETTINGS:
        try:
            value = (root / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == forbids:
            return f"sysctl -w {name.replace('/', '.')}={wanted}"
    return ""


def namespace_limit(root: Path = Path("/proc/sys")) -> str:
    """Return the command that raises the limit on namespaces that is 0; where none is, what limits there are."""
    for path in sorted((root / "user").glob("max_*_namespaces")):
        try:
            value = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == "0":
            return f"sysctl -w user.{path.name}=15000"
    return "raise the limits user.max_*_namespaces with sysctl, here or in the user namespace around this one"


def in_bare_chroot(mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Say whether this process's root is a plain folder, as after chroot(2), and no mount (proc_pid_mountinfo(5))."""
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    points = [line.split()[4] for line in lines if len(line.split()) > 4]
    return bool(points) and "/" not in points


def confinement(mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """Say how to get out of what keeps this process from namespaces, where no setting does."""
    if in_bare_chroot(mountinfo):
        return (
            "this process is in a chroot, whose / is no mount point; run this outside of it, "
            "or enter it as root by pivot_root(8) and not by chroot(8)"
        )
    return "this process is confined, as by a chroot, a container or a seccomp filter; run this outside of that"
