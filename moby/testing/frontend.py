"""The conformance suite of the kind `frontend`: where it listens; what it speaks is its own."""

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moby.contracts.frontend import Frontend
from moby.errors import Conflict, Invalid, Unsupported

__all__ = ["FrontendSuite", "connects"]

Make = Callable[[], Frontend]
PATIENCE_S = 60.0


def connects(path: Path) -> bool:
    """Return whether somebody takes a connection at a socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE_S)
        try:
            sock.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        return True


def _listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


class FrontendSuite:
    """What every front end must do. A subclass brings the fixtures."""

    @pytest.fixture
    def start(self) -> Make:
        """Return what makes a front end and enters it; the fixture leaves those that are left."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return a folder whose sockets' paths fit an address."""
        return tmp_path

    def test_it_answers_where_it_is_told(self, start: Make, folder: Path) -> None:
        """From when `listen` returns, clients are taken; it returns the addresses as clients are to spell them."""
        address = f"unix://{folder / 'a'}"
        assert start().listen([address]) == (address,)
        assert connects(folder / "a")

    def test_several_at_once_and_more_later(self, start: Make, folder: Path) -> None:
        """It answers at all addresses, also at those that it is told later."""
        frontend = start()
        frontend.listen([f"unix://{folder / 'a'}", f"unix://{folder / 'b'}"])
        frontend.listen([f"unix://{folder / 'c'}"])
        assert all(connects(folder / name) for name in "abc")

    def test_a_socket_is_not_everybodys(self, start: Make, folder: Path) -> None:
        """Others than its owner and group can't use it."""
        start().listen([f"unix://{folder / 'a'}"])
        assert (folder / "a").stat().st_mode & 0o007 == 0

    def test_a_file_that_nobody_listens_at_is_replaced(self, start: Make, folder: Path) -> None:
        """What a front end that was killed has left is in nobody's way."""
        _listening(folder / "a").close()
        start().listen([f"unix://{folder / 'a'}"])
        assert connects(folder / "a")

    def test_a_socket_of_somebody_else_stays(self, start: Make, folder: Path) -> None:
        """Where somebody listens it raises Conflict, and leaves him alone."""
        with _listening(folder / "a"):
            with pytest.raises(Conflict):
                start().listen([f"unix://{folder / 'a'}"])
            assert connects(folder / "a")

    def test_a_file_that_is_no_socket_stays(self, start: Make, folder: Path) -> None:
        """What isn't a socket is never removed."""
        (folder / "a").write_text("mine")
        with pytest.raises((Conflict, Invalid)):
            start().listen([f"unix://{folder / 'a'}"])
        assert (folder / "a").read_text() == "mine"

    @pytest.mark.parametrize("address", ["", "nowhere", "ftp://x", "unix://", "fd://x", "fd://9999", "tcp://x:y"])
    def test_an_address_that_it_cannot_read(self, start: Make, address: str) -> None:
        """It raises Invalid, or says that it never serves such ones."""
        with pytest.raises((Invalid, Unsupported)):
            start().listen([address])

    def test_after_an_error_it_listens_at_none(self, start: Make, folder: Path) -> None:
        """All or nothing; and the same addresses can be told again."""
        frontend = start()
        with pytest.raises(Invalid):
            frontend.listen([f"unix://{folder / 'a'}", "nowhere"])
        assert not connects(folder / "a")
        frontend.listen([f"unix://{folder / 'a'}"])
        assert connects(folder / "a")

    def test_a_check_says_what_listening_would(self, start: Make, folder: Path) -> None:
        """Of an address that is taken, or that it can't read, it raises the same."""
        frontend = start()
        with _listening(folder / "a"):
            with pytest.raises(Conflict):
                frontend.check([f"unix://{folder / 'a'}"])
            assert connects(folder / "a")
        with pytest.raises(Invalid):
            frontend.check([f"unix://{folder / 'b'}", "nowhere"])

    def test_a_check_listens_nowhere(self, start: Make, folder: Path) -> None:
        """It leaves no file, and a socket that is passed as it was; then the same can be listened at."""
        frontend = start()
        sock = _listening(folder / "b")
        fd = sock.detach()
        addresses = [f"unix://{folder / 'a'}", f"fd://{fd}"]
        frontend.check(addresses)
        assert not (folder / "a").exists()
        assert frontend.listen(addresses) == tuple(addresses)
        assert connects(folder / "a")
        assert connects(folder / "b")

    def test_a_listening_socket_that_is_there_already(self, start: Make, folder: Path) -> None:
        """It answers at a descriptor, and leaves the file, which is somebody else's, at its end."""
        sock = _listening(folder / "a")
        fd = sock.detach()
        frontend = start()
        assert frontend.listen([f"fd://{fd}"]) == (f"fd://{fd}",)
        assert connects(folder / "a")
        frontend.__exit__(None, None, None)  # type: ignore[attr-defined]
        assert stat.S_ISSOCK((folder / "a").stat().st_mode)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    def test_its_files_are_gone_at_the_end(self, start: Make, folder: Path) -> None:
        """After `__exit__` nobody is there, and no file is left."""
        frontend = start()
        frontend.listen([f"unix://{folder / 'a'}"])
        frontend.__exit__(None, None, None)  # type: ignore[attr-defined]
        assert not (folder / "a").exists()

    def test_drained_it_takes_no_more_clients(self, start: Make, folder: Path) -> None:
        """`drain` with nothing under way returns True at once, and nobody is taken any more; twice is fine."""
        frontend = start()
        frontend.listen([f"unix://{folder / 'a'}"])
        before = time.monotonic()
        assert frontend.drain(PATIENCE_S) is True
        assert time.monotonic() - before < PATIENCE_S
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                sock.connect(str(folder / "a"))
                assert sock.recv(1) == b"", "a client that still got in is let go, not answered"
        assert frontend.drain(PATIENCE_S) is True

    def test_drained_it_lets_idle_clients_go(self, start: Make, folder: Path) -> None:
        """Who is connected asks nothing more of a front end that drains, though that has not ended yet."""
        frontend = start()
        frontend.listen([f"unix://{folder / 'a'}"])
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(folder / "a"))
            frontend.drain(0)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""

    def test_an_idle_client_holds_up_no_end(self, start: Make, folder: Path) -> None:
        """A connection without a request ends with the front end."""
        frontend = start()
        frontend.listen([f"unix://{folder / 'a'}"])
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(str(folder / "a"))
            ending = threading.Thread(target=frontend.__exit__, args=(None, None, None))  # type: ignore[attr-defined]
            ending.start()
            ending.join(PATIENCE_S)
            assert not ending.is_alive()
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
