"""Where a front end listens: addresses in, listening sockets out."""

import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

from moby.errors import Conflict, HostUnfit, Invalid, Unsupported
from moby.host.user_maps import is_ordinary
from moby.values import frozen

__all__ = ["Check", "Listener", "checked", "in_runtime_folder", "listening", "readable"]

_BACKLOG = 1024
_FIRST_PASSED = 3
_ALL_PASSED = frozenset({"", "*"})
_LONGEST_PATH = 107
"""Of a Unix socket's, without the NUL at its end (unix(7))."""


Check = Callable[[str, str], None]


@frozen
class Listener:
    """A listening socket; `path` is its file, to be removed at the end, `tls` whether clients have to speak it.

    So are the folders that were `made` for the file, the innermost first, where nothing else is in them.
    """

    sock: socket.socket
    address: str
    path: Path | None = None
    inode: int = 0
    tls: bool = False
    made: tuple[Path, ...] = ()

    def close(self) -> None:
        """Stop listening, and remove the file if it is still this one's."""
        self.sock.close()
        if self.path is not None:
            with suppress(OSError):
                if self.path.lstat().st_ino == self.inode:
                    self.path.unlink()
        _unmake(self.made)


def in_runtime_folder(path: str) -> str:
    """Return a path with `%t` replaced, as in units of systemd: by /run, or an ordinary user's folder of that kind."""
    if "%t" not in path:
        return path
    folder = os.environ.get("XDG_RUNTIME_DIR", "") if is_ordinary() else "/run"
    if not folder:
        raise HostUnfit(f"{path!r} has no meaning, since XDG_RUNTIME_DIR isn't set", hint="set it, or log in anew")
    return path.replace("%t", folder)


def listening(address: str, *, group: str, tls: bool, check: Check) -> list[Listener]:
    """Listen at an address; see the contract `Frontend.listen` for its forms and errors.

    `check` is called for an address that isn't a Unix socket's, with the host's name, and raises where it may not be.
    """
    scheme, separator, rest = address.partition("://")
    if separator and scheme == "unix":
        path = in_runtime_folder(rest)
        return [_unix(path, f"unix://{path}", group)]
    if separator and scheme == "tcp":
        return [_tcp(address, tls, check)]
    if separator and scheme == "fd":
        return [_passed(number, tls, check) for number in _numbers(rest, address)]
    raise _unreadable(address)


def checked(address: str, *, group: str, check: Check) -> None:
    """Raise what `listening` would, and listen nowhere; see the contract `Frontend.check`."""
    scheme, separator, rest = address.partition("://")
    if separator and scheme == "unix":
        path = in_runtime_folder(rest)
        _look(_socket_file(path, f"unix://{path}"), f"unix://{path}", group)
    elif separator and scheme == "tcp":
        host, port = _host_and_port(address, check)
        _bound(address, host, port).close()
    elif separator and scheme == "fd":
        for number in _numbers(rest, address):
            _passed(number, False, check).sock.detach()
    else:
        raise _unreadable(address)


def readable(addresses: Iterable[str], check: Check) -> None:
    """Raise what `listening` would at these addresses on any host, and look at nothing of this one."""
    for address in addresses:
        scheme, separator, rest = address.partition("://")
        if separator and scheme == "unix":
            _socket_file(rest.replace("%t", "/run"), address)
        elif separator and scheme == "tcp":
            _host_and_port(address, check)
        elif not separator or scheme != "fd":
            raise _unreadable(address)
        elif rest not in _ALL_PASSED:
            _numbers(rest, address)


def _unreadable(address: str) -> Invalid:
    return Invalid(f"can't listen at {address!r}", hint="an address is unix:///PATH, tcp://HOST:PORT, or fd://NUMBER")


def _look(where: Path, address: str, group: str) -> None:
    """Look whether a socket can be made here, without one that clients would find."""
    _group(group, where)
    try:
        folder = next(each for each in where.parents if each.exists())
        if folder == where.parent:
            with _alone(where):
                _replace(where, address)
        elif not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise HostUnfit(f"can't listen at {address}: {error.strerror}") from error


def _socket_file(path: str, address: str) -> Path:
    where = Path(path)
    if not where.is_absolute():
        raise Invalid(f"{address!r} names no absolute path", hint="write unix:///PATH")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise Invalid(
            f"{path} is longer than a Unix socket's path may be, {_LONGEST_PATH} bytes",
            hint="listen at a shorter one; where it is below --root DIR, name a shorter DIR",
        )
    return where


def _unix(path: str, address: str, group: str) -> Listener:
    where = _socket_file(path, address)
    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            made = tuple(each for each in where.parents if not each.exists())
            undo.callback(_unmake, made)
            where.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with _alone(where):
                _replace(where, address)
                old = os.umask(0o177)  # so that nobody gets in before its mode is set
                try:
                    sock.bind(path)
                finally:
                    os.umask(old)
                undo.callback(where.unlink)
                inode = where.lstat().st_ino
                _permit(where, group)
                sock.listen(_BACKLOG)
        except OSError as error:
            raise HostUnfit(f"can't listen at {address}: {error.strerror}") from error
        undo.pop_all()
    return Listener(sock, address, where, inode, made=made)


def _unmake(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, up to one in which something is."""
    with suppress(OSError):
        for each in folders:
            each.rmdir()


class _alone:  # noqa: N801 - used as a function
    """Keep others from replacing the same socket meanwhile, by a lock on its folder."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _replace(path: Path, address: str) -> None:
    """Remove a socket that nobody listens at; Conflict where somebody does, or where it is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise Conflict(f"{path} is there and is no socket", hint="remove it, or listen elsewhere")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # somebody has it, and is busy
    raise Conflict(f"somebody listens at {address} already", hint="end that one, or listen elsewhere")


def _permit(path: Path, group: str) -> None:
    """Give the socket to its group, where there is one, which may use it then."""
    gid = _group(group, path)
    if gid is not None and os.geteuid() == 0:
        os.chown(path, 0, gid, follow_symlinks=False)
    path.chmod(0o660)


def _group(group: str, path: Path) -> int | None:
    """Return the group's number; None where there is no group docker, as dockerd does, whose socket is root's then."""
    try:
        return grp.getgrnam(group).gr_gid if group and not group.isdigit() else int(group or 0)
    except KeyError:
        if group != "docker":
            raise Invalid(f"no group {group!r}, which is to own {path}", hint="make it with groupadd(8)") from None
        return None


def _tcp(address: str, tls: bool, check: Check) -> Listener:
    host, port = _host_and_port(address, check)
    sock = _bound(address, host, port)
    try:
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _refused(address, error) from error
    shown = f"[{host}]" if sock.family == socket.AF_INET6 else host
    return Listener(sock, f"tcp://{shown}:{sock.getsockname()[1]}", tls=tls)


def _host_and_port(address: str, check: Check) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid(f"can't listen at {address!r}: {error}") from None
    if port is None or parts.path not in {"", "/"} or not host:
        raise Invalid(f"can't listen at {address!r}", hint="write tcp://HOST:PORT, with port 0 for any free one")
    check(address, host)
    return host, port


def _bound(address: str, host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _refused(address, error) from error
    return sock


def _refused(address: str, error: OSError) -> Conflict | HostUnfit:
    kind = Conflict if error.errno == errno.EADDRINUSE else HostUnfit
    return kind(f"can't listen at {address}: {error.strerror}")


def _numbers(text: str, address: str) -> list[int]:
    """Return the descriptors that are meant: one, or without a number all that systemd passed (sd_listen_fds(3))."""
    if text.isascii() and text.isdigit():
        return [int(text)]
    if text in _ALL_PASSED:
        count = os.environ.get("LISTEN_FDS", "0")
        if os.environ.get("LISTEN_PID") == str(os.getpid()) and count.isdigit() and int(count):
            return list(range(_FIRST_PASSED, _FIRST_PASSED + int(count)))
        raise Invalid(f"{address}: no sockets were passed to this process", hint="start it by a systemd socket unit")
    raise Invalid(f"{address!r} names no descriptor", hint="write fd://NUMBER")


def _passed(number: int, tls: bool, check: Check) -> Listener:
    address = f"fd://{number}"
    try:
        sock = socket.socket(fileno=number)
    except OSError as error:
        raise Invalid(f"{address} is no socket: {error.strerror}") from error
    os.set_inheritable(number, False)
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise Invalid(f"{address} is no listening socket")
    if sock.family == socket.AF_UNIX:
        return Listener(sock, address)
    try:
        check(address, str(sock.getsockname()[0]))
    except Unsupported:
        sock.detach()
        raise
    return Listener(sock, address, tls=tls)
