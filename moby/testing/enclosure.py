"""The conformance suite of the kind `enclosure`; `moby.testing.enclosure_mutants` holds what it must fail.

As root it runs the part as an ordinary user, on a host network of the test's own; else as who runs it.
"""

import errno
import json
import os
import socket
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import frozen

from moby.contracts.ambient import Place
from moby.contracts.enclosure import Enclosure
from moby.errors import Unavailable
from moby.host import mounts as kernel
from moby.host.namespaces import FLAGS, unshare
from moby.host.processes import set_child_subreaper, set_dumpable
from moby.testing.as_user import NOBODY
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

__all__ = ["EnclosureSuite", "Given"]

_SUBORDINATE = f"{NOBODY}:100000:65536\n"
_KINDS = ("user", "mnt", "net")
_PATIENCE_S = 60.0
_TUN = "/dev/net/tun"


@frozen
class Given:
    """Makes the part under test, in the process that calls, and where its user may write."""

    make: Callable[[], Enclosure]
    folder: Path

    def apart(self, run: Callable[[Enclosure], object]) -> Any:
        """Run something in a process of the user's, with a part of its own; return what it gives, as JSON has it."""
        with self.beside(run) as answer:
            return answer()

    def inside(self, run: Callable[[Enclosure], object]) -> Any:
        """Run something in a process that has entered."""
        return self.apart(lambda part: _entered(part, run))

    @contextmanager
    def beside(self, run: Callable[[Enclosure], object], tells: int = -1) -> Iterator[Callable[[], Any]]:
        """Run something in a process of the user's that stays until the end; lend what waits for what it gives.

        `tells` is a descriptor that only the other process is to have, until it has done it, or failed to.
        """
        read, write = os.pipe()
        waits, ends = os.pipe()
        pid = os.fork()
        if pid == 0:
            _stay(lambda: run(self.make()), (read, ends), (write, tells), waits)
        for each in (write, waits, tells):
            _close(each)
        try:
            yield lambda: _told(read)
        finally:
            os.write(ends, b"x")  # copies of this end are in who was started meanwhile
            os.close(ends)
            os.close(read)
            os.waitpid(pid, 0)


def _entered(part: Enclosure, run: Callable[[Enclosure], object]) -> object:
    part.enter()
    return run(part)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _stay(run: Callable[[], object], others: Sequence[int], told: Sequence[int], waits: int) -> NoReturn:
    """Become the user, run something, say what it gives, and wait for the end; a copy of this waits for nothing."""
    own = os.getpid()
    try:
        for each in others:
            os.close(each)
        outcome = json.dumps(_outcome(run)).encode()
        os.write(told[0], outcome)
        for each in told:
            _close(each)
        if os.getpid() == own:
            os.read(waits, 1)
    finally:
        os._exit(0)


def _become_user() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        set_dumpable(True)
    set_child_subreaper()


def _outcome(run: Callable[[], object]) -> dict[str, object]:
    try:
        _become_user()
        return {"gives": run()}
    except BaseException as error:
        return {"fails": f"{type(error).__name__}: {error}\n{traceback.format_exc()[-20000:]}"}


def _told(read: int) -> Any:
    data = b""
    while chunk := os.read(read, 65536):
        data += chunk
    outcome = json.loads(data) if data else {"fails": "it ended without a word"}
    if "fails" in outcome:
        pytest.fail(f"as an ordinary user: {outcome['fails']}")
    return outcome["gives"]


def _namespaces(_: object = None) -> list[str]:
    return [str(Path(f"/proc/self/ns/{each}").readlink()) for each in _KINDS]


def _free(kind: int = socket.SOCK_STREAM) -> int:
    with closing(socket.socket(socket.AF_INET, kind)) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _bound(address: str, port: int) -> int:
    """Return the error that the kernel has for a port here; 0 for none."""
    with closing(socket.socket()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError as error:
            return error.errno or -1
    return 0


def _refusal(part: Enclosure, address: str, port: int) -> int:
    """Return the error that a part has for a port of the host's; 0 for none."""
    try:
        os.close(part.bind("tcp", address, port))
    except OSError as error:
        return error.errno or -1
    return 0


class EnclosureSuite:
    """What every enclosure must do. A subclass brings `make_enclosure`."""

    @pytest.fixture
    def make_enclosure(self) -> Callable[[Place], Enclosure]:
        """Return what makes the part under test with its place."""
        raise NotImplementedError

    @pytest.fixture
    def given(self, make_enclosure: Callable[[Place], Enclosure]) -> Iterator[Given]:
        """Lend the part to an ordinary user of a host of its own, who has subordinate ids; it is undone at the end."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            if os.geteuid() == 0:
                stack.enter_context(own_mounts())
                stack.enter_context(own_network())
                _prepare(folder)
            place = Place(folder / "state", folder / "run", folder / "cache", "suite")
            for each in (place.state, place.run, place.cache):
                each.mkdir(mode=0o700)
            for each in (folder, place.state, place.run, place.cache):
                if os.geteuid() == 0:
                    os.chown(each, NOBODY, NOBODY)
            # Its modules may be where an ordinary user can't read them, so that they are loaded before one is.
            make_enclosure(Place(folder / "loaded", folder / "loaded", folder / "loaded", "suite"))
            given = Given(lambda: make_enclosure(place), folder)
            try:
                yield given
            finally:
                given.apart(_reclaim)

    def test_who_enters_is_root(self, given: Given) -> None:
        """Of namespaces of its own: it may mount, and make networks, where the user may not."""

        def look(part: Enclosure) -> object:
            before = _namespaces()
            part.enter()
            unshare(FLAGS["network"])
            kernel.mount("tmpfs", str(given.folder / "state"), "tmpfs", data="size=64k")
            return [os.geteuid(), os.getegid(), before, _namespaces()]

        uid, gid, before, after = given.apart(look)
        assert (uid, gid) == (0, 0)
        assert all(one != other for one, other in zip(before, after, strict=True))
        assert not os.path.ismount(given.folder / "state")

    def test_files_are_the_hosts(self, given: Given) -> None:
        """What is written inside is the user's outside, and the working folder stays."""

        def write(part: Enclosure) -> object:
            os.chdir(given.folder / "cache")
            part.enter()
            Path("made").write_text("inside", encoding="ascii")
            return str(Path.cwd())

        assert given.apart(write) == str(given.folder / "cache")
        made = given.folder / "cache/made"
        assert (made.read_text(encoding="ascii"), made.stat().st_uid) == ("inside", given.folder.stat().st_uid)

    def test_all_who_enter_meet(self, given: Given) -> None:
        """They are in the same namespaces, also where the first has ended meanwhile, and somebody is inside."""
        with given.beside(lambda part: _entered(part, _namespaces)) as first:
            found = first()
            second = given.beside(lambda part: _entered(part, _namespaces))
            answer = second.__enter__()
            assert answer() == found
        try:
            assert given.inside(_namespaces) == found
        finally:
            second.__exit__(None, None, None)

    def test_entering_at_once(self, given: Given) -> None:
        """Whoever comes first makes it, for all."""
        with ExitStack() as stack:
            answers = [stack.enter_context(given.beside(lambda part: _entered(part, _namespaces))) for _ in range(4)]
            found = [answer() for answer in answers]
        assert found == found[:1] * 4

    def test_entering_again(self, given: Given) -> None:
        """Changes nothing."""

        def again(part: Enclosure) -> object:
            before = _namespaces()
            part.enter()
            return [before, _namespaces(), os.geteuid()]

        before, after, uid = given.inside(again)
        assert (before, uid) == (after, 0)

    def test_connections_come_in(self, given: Given) -> None:
        """By a socket that listens at a port of the host's, at no other address; closed, it holds nothing."""
        port, other = _free(), _free()

        def listen(part: Enclosure) -> object:
            with socket.socket(fileno=part.bind("tcp", "127.0.0.1", port)) as sock:
                os.write(ready, b"x")
                sock.settimeout(_PATIENCE_S)
                connection, _ = sock.accept()
                with connection:
                    connection.sendall(b"from inside")
            os.close(part.bind("tcp", "127.0.0.1", other))  # by when who made the first one has let go of it, too
            return None

        waits, ready = os.pipe()
        with given.beside(lambda part: _entered(part, listen), ready) as answer:
            if os.read(waits, 1):  # else it says what was wrong
                assert (_bound("127.0.0.1", port), _bound("127.0.0.2", port)) == (errno.EADDRINUSE, 0)
                with closing(socket.create_connection(("127.0.0.1", port), _PATIENCE_S)) as sock:
                    assert sock.recv(100) == b"from inside"
            os.close(waits)
            answer()
            assert _bound("127.0.0.1", port) == 0

    def test_datagrams_come_in(self, given: Given) -> None:
        """By a socket of UDP's, and answers go out."""
        port = _free(socket.SOCK_DGRAM)

        def echo(part: Enclosure) -> object:
            with socket.socket(fileno=part.bind("udp", "127.0.0.1", port)) as sock:
                os.write(ready, b"x")
                sock.settimeout(_PATIENCE_S)
                data, peer = sock.recvfrom(100)
                sock.sendto(data.upper(), peer)
            return None

        waits, ready = os.pipe()
        with given.beside(lambda part: _entered(part, echo), ready) as answer:
            if os.read(waits, 1):
                with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
                    sock.settimeout(_PATIENCE_S)
                    sock.sendto(b"asked", ("127.0.0.1", port))
                    assert sock.recv(100) == b"ASKED"
            os.close(waits)
            answer()

    def test_ports_that_can_t_be_had(self, given: Given) -> None:
        """Are the kernel's errors outside: taken, no address of the host's, not for this user."""
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            asked = [("127.0.0.1", taken.getsockname()[1]), ("192.0.2.77", _free()), ("127.0.0.1", 7)]
            outside = given.apart(lambda part: [_bound(*each) for each in asked])
            assert outside[:2] == [errno.EADDRINUSE, errno.EADDRNOTAVAIL]
            assert given.inside(lambda part: [_refusal(part, *each) for each in asked]) == outside

    def test_no_port_once_it_has_ended(self, given: Given) -> None:
        """Unavailable says so to who is inside still."""

        def ask(part: Enclosure) -> object:
            if not hasattr(part, "reclaim"):
                return "it can't be ended"
            _reclaim(part)
            with suppress(Unavailable):
                os.close(part.bind("tcp", "127.0.0.1", 0))
                return "bound"
            return "refused"

        outcome = given.inside(ask)
        if outcome == "it can't be ended":
            pytest.skip("this part has no `reclaim`, by which a test could end it")
        assert outcome == "refused"


def _reclaim(part: Enclosure) -> None:
    if hasattr(part, "reclaim"):
        part.reclaim()


def _prepare(folder: Path) -> None:
    """Give the user subordinate ids, and the device that ways out are made of, in the mount namespace of this test."""
    kernel.mount("tmpfs", str(folder), "tmpfs", data="mode=755,size=64m")
    ids, device = folder / "subordinate", folder / "tun"
    ids.write_text(_SUBORDINATE, encoding="ascii")
    ids.chmod(0o644)
    for name in ("/etc/subuid", "/etc/subgid"):
        if not Path(name).exists():
            pytest.skip(f"{name} isn't there, which gives users their subordinate ids")
        _show(ids, name)
    if Path(_TUN).exists():
        os.mknod(device, 0o666 | stat.S_IFCHR, Path(_TUN).stat().st_rdev)
        device.chmod(0o666)
        _show(device, _TUN)


def _show(path: Path, at: str) -> None:
    """Have a file seen in another's place."""
    tree, target = kernel.clone_tree(str(path)), os.open(at, os.O_PATH | os.O_CLOEXEC)
    kernel.attach(tree, target)
    os.close(tree)
    os.close(target)
