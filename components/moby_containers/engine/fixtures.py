"""What every container's root has, for mounts to be made on and programs to find (moby, daemon/initlayer)."""

from moby.contracts.images import Fixture

__all__ = ["FIXTURES"]

FIXTURES = (
    Fixture("/dev/pts", is_folder=True),
    Fixture("/dev/shm", is_folder=True),  # noqa: S108  # inside
    Fixture("/proc", is_folder=True),
    Fixture("/sys", is_folder=True),
    Fixture("/.dockerenv"),
    Fixture("/etc/resolv.conf"),
    Fixture("/etc/hosts"),
    Fixture("/etc/hostname"),
    Fixture("/dev/console"),
    Fixture("/etc/mtab", link="/proc/mounts"),
)
