"""What the kernel refuses, in words that say what would help."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from moby.errors import HostUnfit, MobyError

__all__ = ["Failures", "explained"]


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Have an error of the kernel's be raised as HostUnfit, with what was being done."""
    try:
        yield
    except OSError as error:
        raise HostUnfit(f"{what}: {_reason(error)}", hint=_hint(error)) from error


class Failures:
    """What fails of several things that are done whether others fail or not."""

    def __init__(self) -> None:
        self._found: list[MobyError] = []

    @contextmanager
    def collected(self, what: str) -> Iterator[None]:
        """Go on after an error, of the kernel's too."""
        try:
            with explained(what):
                yield
        except MobyError as error:
            self._found.append(error)

    def tell(self) -> None:
        """Raise the only error, or HostUnfit with all of them."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise HostUnfit("\n".join(str(each) for each in self._found))


def _reason(error: OSError) -> str:
    about = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{about}"


def _hint(error: OSError) -> str:
    if error.errno in (errno.EPERM, errno.EACCES):
        return "run the engine as root, or with the capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN"
    if error.errno == errno.EOPNOTSUPP:
        return "load the kernel module for it, or use a kernel that has it"
    if error.errno == errno.EROFS:
        return "have /proc/sys be writable, or make this setting yourself"
    if error.errno == errno.EXFULL:
        return "a bridge has no room for more: use one more network"
    return ""
