"""AppArmor, where the kernel has it and it was switched on (apparmor(7))."""

from moby.host.files import read_text

__all__ = ["is_enabled"]


def is_enabled() -> bool:
    """Return whether profiles are applied on this host."""
    try:
        return read_text("/sys/module/apparmor/parameters/enabled").startswith("Y")
    except OSError:
        return False
