"""What fails just for now; and the exit code of what an error has kept from running."""

from moby.errors import HostUnfit, MobyError, Unavailable
from moby.oci.programs import NOT_FOUND, NOT_RUNNABLE

__all__ = ["NOT_NOW", "OTHER", "exit_code"]

NOT_NOW = (HostUnfit, Unavailable, OSError)
"""What it means that nothing can be written down just now, as on a full disk: who passed over it would lose an end."""
OTHER = 128


def exit_code(error: BaseException) -> int:
    """Return the exit code of a container or an exec that an error has kept from running."""
    code = error.exit_code if isinstance(error, MobyError) else OTHER
    return code if code in (NOT_FOUND, NOT_RUNNABLE) else OTHER
