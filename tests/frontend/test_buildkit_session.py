"""What a client's session may send: hostile or broken, of which real clients send none."""

import socket
import stat
import threading
import tracemalloc
from contextlib import contextmanager

import pytest
from frontend.fake_builder import Received, Tree
from frontend.wires import joined
from moby_frontend.docker.buildkit.faults import fault
from moby_frontend.docker.buildkit.grpc import Answering, Caller, Code, Fault, Messages, Method, pack
from moby_frontend.docker.buildkit.messages import decode
from moby_frontend.docker.buildkit.protocol.lending import (
    DATA,
    END,
    ERROR,
    REQUEST,
    STAT,
    BlobInfo,
    BlobInfoResponse,
    BlobRead,
    BlobReadRequest,
    Bytes,
    CredentialsResponse,
    GetSecret,
    Packet,
    Secret,
    Stat,
)
from moby_frontend.docker.buildkit.session.client import ClientSession
from moby_frontend.docker.buildkit.session.files import entry_of, give, take
from moby_frontend.docker.modes import go_mode, mode_of

from moby.contracts.builder import Selection
from moby.contracts.image_registry import Credentials
from moby.contracts.types import Digest
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.oci.digest import sha256

FOLDER = 1 << 31 | 0o755
FILE = 0o644


class Script:
    """An exchange whose peer sends what is written down, in these batches."""

    def __init__(self, *batches):
        self.given = [list(each) if isinstance(each, list | tuple) else [each] for each in batches]
        self.sent, self.ended, self.finished = [], False, False

    def batches(self, kind):
        yield from self.given

    def send(self, *messages, end=False):
        self.sent += messages
        self.ended = self.ended or end

    def waiting(self, kind):
        return self.given.pop(0) if self.given and self.given[0][0].type == REQUEST else []

    def finish(self):
        self.finished = True


def listed(*stats):
    return [*(Packet(STAT, each) for each in stats), Packet(STAT)]


def data(number, content):
    return [Packet(DATA, None, number, content), Packet(DATA, None, number)]


class TestTaking:
    def test_a_folder(self):
        received = Received(unwanted={"b"})
        script = Script(
            listed(Stat("a", FOLDER), Stat("a/x", FILE, size=2), Stat("a/y", FILE, link="a/x"), Stat("b", FILE)),
            data(1, b"hi"), Packet(END),
        )  # fmt: skip
        take(script, received)
        assert received.names == ["a", "a/x", "a/y", "b"]
        assert received.files == {"a/x": b"hi"}
        assert script.sent == [Packet(REQUEST, None, 1), Packet(END)]
        assert script.ended

    def test_an_empty_one(self):
        script = Script(listed(), Packet(END))
        take(script, Received())
        assert script.sent == [Packet(END)]

    @pytest.mark.parametrize(
        ("stats", "words"),
        [
            ([Stat("../x", FILE)], "without the folder that it is in"),
            ([Stat("/x", FILE)], "with the name '/x'"),
            ([Stat("", FILE)], "with the name ''"),
            ([Stat(".", FOLDER)], "with the name '.'"),
            ([Stat("..", FOLDER)], "with the name '..'"),
            ([Stat("a", FOLDER), Stat("a/..", FOLDER)], "with the name 'a/..'"),
            ([Stat("a\0b", FILE)], "with the name"),
            ([Stat("a//b", FILE)], "without the folder"),
            ([Stat("a/b", FILE)], "without the folder"),
            ([Stat("a", FILE), Stat("a/b", FILE)], "without the folder"),
            ([Stat("l", 1 << 27 | 0o777, link="/etc"), Stat("l/passwd", FILE)], "without the folder"),
            ([Stat("b", FILE), Stat("a", FILE)], "out of order"),
            ([Stat("a", FILE), Stat("a", FILE)], "out of order"),
            ([Stat("a", FOLDER), Stat("b", FILE), Stat("a/c", FILE)], "without the folder"),
            ([Stat("a", FILE, link="../../etc/passwd")], "which isn't there"),
            ([Stat("a", FOLDER), Stat("b", FILE, link="a")], "which isn't there"),
            ([Stat("a", FILE, size=-1)], "with a size, an owner or a link that can't be"),
            ([Stat("a", FILE, uid=1 << 32)], "with a size, an owner or a link that can't be"),
            ([Stat("a", 1 << 27, link="x\0")], "with a size, an owner or a link that can't be"),
            ([Stat("a", 1 << 26, major=-1)], "with a device that can't be"),
        ],
    )
    def test_what_is_no_tree(self, stats, words):
        with pytest.raises(Invalid, match=words):
            take(Script(listed(*stats)), Received())

    def test_content_that_nobody_asked_for(self):
        with pytest.raises(Invalid, match=r"that nobody asked for \(1\)"):
            take(Script(listed(Stat("a", FOLDER)), data(1, b"x")), Received())
        with pytest.raises(Invalid, match="that nobody asked for"):
            take(Script(listed(Stat("a", FILE), Stat("b", FILE)), data(0, b"x"), data(0, b"x")), Received())

    def test_a_list_that_goes_on(self):
        with pytest.raises(Invalid, match="lists files without end"):
            take(Script([*listed(Stat("a", FILE)), *listed(Stat("b", FILE))]), Received())

    def test_other_packets(self):
        with pytest.raises(Unavailable, match="error from sender: no such folder"):
            take(Script(Packet(ERROR, None, 0, b"no such folder")), Received())
        with pytest.raises(Invalid, match="a packet of the unknown type 9"):
            take(Script(Packet(9)), Received())
        with pytest.raises(Unavailable, match="before it was complete"):
            take(Script(listed(Stat("a", FILE))), Received())

    def test_modes(self):
        for mode in (0o100644, 0o104755, 0o041777, 0o120777, 0o060600, 0o020600, 0o010600, 0o140600, 0o102755):
            assert mode_of(go_mode(mode)) == mode
        assert stat.S_ISREG(mode_of(1 << 19 | 0o600))
        assert entry_of(Stat("a", FILE, link="/b")).link == "b"


class TestGiving:
    def test_a_folder(self):
        tree = Tree({"sub": None, "sub/file": b"x" * 3_000_000, "a": b"1"})
        asked = [Packet(REQUEST, None, 0), Packet(REQUEST, None, 2)]
        script = Script(asked, Packet(END))
        give(script, tree)
        stats = [each.stat for each in script.sent if each.type == STAT]
        assert [each.path if each else None for each in stats] == ["a", "sub", "sub/file", None]
        content = b"".join(each.data for each in script.sent if each.type == DATA and each.id == 2)
        assert content == b"x" * 3_000_000
        assert max(len(each.data) for each in script.sent) <= 1 << 20
        assert script.sent[-1].type == END
        assert script.finished

    def test_what_is_asked_wrongly(self):
        tree = Tree({"sub": None, "a": b"1"})
        for asked in ([Packet(REQUEST, None, 1)], [Packet(REQUEST, None, 0)] * 2, [Packet(REQUEST, None, 99)]):
            with pytest.raises(Invalid, match="a file that isn't there"):
                give(Script(asked), tree)
        with pytest.raises(Unavailable, match="error from receiver: full"):
            give(Script(Packet(ERROR, None, 0, b"full")), tree)
        with pytest.raises(Unavailable, match="before it was complete"):
            give(Script(), tree)


ALL = [
    "/moby.filesync.v1.FileSync/DiffCopy", "/moby.filesync.v1.FileSend/DiffCopy", "/moby.upload.v1.Upload/Pull",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret", "/moby.sshforward.v1.SSH/ForwardAgent",
    "/moby.filesync.v1.Auth/Credentials", "/containerd.services.content.v1.Content/Read",
]  # fmt: skip


@contextmanager
def session(methods, offered=ALL):
    """Lend a session whose client answers by functions, each from a request to its answer."""
    told = []
    answering = Answering(
        {path: Method(kind, handler) for path, (kind, handler) in methods.items()}, fault,
        lambda path, error: told.append(error),
    )  # fmt: skip
    with joined(answering.accept) as link:
        found = ClientSession(link, "id", "key", offered)
        found.told = told
        yield found


def raising(error):
    def handler(call, request):
        raise error

    return handler


class TestSession:
    def test_secrets(self):
        path = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
        with session({path: (GetSecret, lambda call, asked: Secret(asked.id.encode() * 2))}) as lent:
            assert lent.secret("ab") == b"abab"
        for code, kind in ((Code.NOT_FOUND, NotFound), (Code.PERMISSION_DENIED, Denied), (Code.UNKNOWN, Unavailable)):
            with session({path: (GetSecret, raising(Fault(code, "none")))}) as lent, pytest.raises(kind, match="none"):
                lent.secret("x")
        large = {path: (GetSecret, lambda call, asked: Secret(bytes(600_000)))}
        with session(large) as lent, pytest.raises(Denied, match="the secret x has 600000 bytes"):
            lent.secret("x")
        with session({path: (GetSecret, raising(ZeroDivisionError("oh")))}) as lent:
            with pytest.raises(Unavailable, match="oh"):
                lent.secret("x")
            assert len(lent.told) == 1

    def test_what_is_not_offered(self):
        with session({}, offered=[]) as lent:
            for ask, words in (
                (lambda: lent.secret("x"), "secrets"), (lambda: lent.ssh("x"), "ssh agents"),
                (lambda: lent.stream("x"), "streams"), (lambda: lent.blobs("x"), "stores of blobs"),
                (lambda: lent.deliver_stream(0), "outputs"), (lambda: lent.deliver_folder(0, None), "outputs"),
                (lambda: lent.folder("x", Selection(), None), "folders"),
            ):  # fmt: skip
                with pytest.raises(NotFound, match=f"the client lends no {words}"):
                    ask()
            assert lent.credentials("x") is None
            assert lent.key == "key"

    def test_what_is_offered_and_not_there(self):
        with session({}) as lent, pytest.raises(NotFound, match="unknown method"):
            lent.secret("x")

    def test_folders_that_are_not_lent(self):
        path = "/moby.filesync.v1.FileSync/DiffCopy"
        error = Fault(Code.UNKNOWN, 'no access allowed to dir "x"')
        with session({path: (Packet, raising(error))}) as lent, pytest.raises(NotFound, match="no access allowed"):
            folder_ends(lent)

    def test_credentials(self):
        path = "/moby.filesync.v1.Auth/Credentials"
        found = {
            "registry-1.docker.io": CredentialsResponse("me", "word"), "token": CredentialsResponse("", "t"),
            "none": CredentialsResponse(),
        }  # fmt: skip
        from moby_frontend.docker.buildkit.protocol.lending import CredentialsRequest

        with session({path: (CredentialsRequest, lambda call, asked: found[asked.host])}) as lent:
            assert lent.credentials("docker.io") == Credentials("me", "word")
            assert lent.credentials("token") == Credentials(identity_token="t")
            assert lent.credentials("none") is None

    def test_a_client_that_goes(self):
        with session({}) as lent:
            lent.link.close()
            for ask in (lambda: lent.secret("x"), lambda: lent.deliver_stream(1)):
                with pytest.raises(Unavailable):
                    ask()

    def test_blobs(self):
        service = "/containerd.services.content.v1.Content"
        stored = {str(sha256(b"here")): b"here"}

        def info(call, asked):
            if asked.digest not in stored:
                raise Fault(Code.NOT_FOUND, "not found")
            return BlobInfoResponse(BlobInfo(asked.digest, len(stored[asked.digest])))

        def read(call, asked):
            assert call.metadata["buildkit-attachable-store-id"] == "oci:mine"
            content = stored[asked.digest]
            return iter([BlobRead(0, content[:2]), BlobRead(2, content[2:])])

        methods = {
            f"{service}/Info": (BlobReadRequest, info), f"{service}/Read": (BlobReadRequest, read),
        }  # fmt: skip
        with session(methods) as lent:
            with lent.blobs("mine").read(sha256(b"here")) as file:
                assert file.read() == b"here"
            with pytest.raises(NotFound, match="the client's store local:x has no blob sha256:0"):
                lent.blobs("local:x").read(Digest("sha256", "0" * 64))
            with pytest.raises(Unavailable, match="the client doesn't store the blob sha256:"):
                lent.blobs("export").write(sha256(b"new"), 3, iter([b"new"]))

    def test_an_output_that_the_client_does_not_take(self):
        path = "/moby.filesync.v1.FileSend/DiffCopy"
        with session({path: (Bytes, raising(Fault(Code.UNKNOWN, "disk full")))}) as lent:
            with pytest.raises((Fault, Unavailable)), lent.deliver_stream(0) as out:
                out.write(b"x" * 10)
            # One's own error goes on, and nothing is waited for.
            with pytest.raises(ZeroDivisionError), lent.deliver_stream(0):
                raise ZeroDivisionError

    def test_agents_that_are_not_lent(self):
        path = "/moby.sshforward.v1.SSH/CheckAgent"
        error = Fault(Code.UNKNOWN, "unset ssh forward key x")
        with session({path: (GetSecret, raising(error))}) as lent, pytest.raises(NotFound, match="unset ssh forward"):
            lent.ssh("x")

    def test_an_agent_that_ends(self):
        path = "/moby.sshforward.v1.SSH"
        methods = {
            f"{path}/CheckAgent": (GetSecret, lambda call, asked: Secret()),
            f"{path}/ForwardAgent": (Bytes, lambda call, asked: iter([Bytes(asked.data.upper())])),
        }
        with session(methods) as lent, socket.socket(fileno=lent.ssh("")) as agent:
            agent.sendall(b"asked")
            agent.shutdown(socket.SHUT_WR)
            assert agent.recv(100) == b"ASKED"
            assert agent.recv(100) == b""


def folder_ends(lent):
    """Ask for a folder of a client that answers one message and fails."""
    exchange = lent._caller.begin("/moby.filesync.v1.FileSync/DiffCopy")
    exchange.send(Packet(END), end=True)
    from moby_frontend.docker.buildkit.session.client import _errors

    with exchange, _errors("folders"):
        take(exchange, Received())


class TestMessages:
    def test_pieces(self):
        data = pack(Bytes(b"one")) + pack(Bytes(b"")) + pack(Bytes(b"x" * 100))
        for size in (1, 3, 1000):
            messages = Messages()
            found = [each for at in range(0, len(data), size) for each in messages.feed(data[at : at + size])]
            assert [decode(Bytes, each).data for each in found] == [b"one", b"", b"x" * 100]
            assert messages.whole()

    def test_small_pieces_of_a_large_message_are_not_copied_with_all_before_them(self):
        messages, copied = Messages(), 0
        list(messages.feed(b"\0" + (16 << 20).to_bytes(4, "big") + bytes(8 << 20)))
        tracemalloc.start()
        try:
            for _ in range(50):
                before, _peak = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                list(messages.feed(b"x"))
                copied += tracemalloc.get_traced_memory()[1] - before > 1 << 20
        finally:
            tracemalloc.stop()
        assert copied <= 2, "now and then there is no room behind it"

    def test_what_is_refused(self):
        with pytest.raises(Invalid, match="compressed"):
            list(Messages().feed(b"\1\0\0\0\0"))
        with pytest.raises(Invalid, match="a message of 4294967295 bytes"):
            list(Messages().feed(b"\0\xff\xff\xff\xff"))


class TestCalls:
    def test_how_calls_end(self):
        def several(call, asked):
            yield Bytes(b"1")
            yield Bytes(b"2")

        def late(call, asked):
            yield Bytes(b"1")
            raise Fault(Code.NOT_FOUND, "gone, naïve 100%\n")

        methods = {"/several": (Bytes, several), "/late": (Bytes, late), "/conflict": (Bytes, raising(Conflict("no")))}
        after = []
        methods["/after"] = (Bytes, lambda call, asked: call.afterwards.append(lambda: after.append(1)) or Bytes())
        methods["/hint"] = (Bytes, raising(Unsupported("never", hint="choose another")))
        with session(methods) as lent:
            caller = Caller(lent.link)
            with pytest.raises(Fault, match="2 answers where one was asked for"):
                caller.ask("/several", Bytes(), Bytes)
            with pytest.raises(Fault, match="gone, naïve 100%\n") as error:
                caller.ask("/late", Bytes(), Bytes)
            assert error.value.code == Code.NOT_FOUND
            with pytest.raises(Fault, match="no") as error:
                caller.ask("/conflict", Bytes(), Bytes)
            assert error.value.code == Code.UNKNOWN
            with pytest.raises(Fault, match=r"never \(choose another\)"):
                caller.ask("/hint", Bytes(), Bytes)
            caller.ask("/after", Bytes(), Bytes)
            empty = caller.begin("/several")
            empty.send(end=True)
            with pytest.raises(Fault, match="0 messages where one is asked for"):
                empty.finish()
        assert after == [1]

    def test_a_peer_that_answers_without_end(self):
        sent = 0

        def endless(stream):
            nonlocal sent
            stream.send_headers([(":status", "200")])
            while sent < 1000:
                stream.send(pack(Bytes(bytes(64 << 10))))
                sent += 1
            stream.send_headers([("grpc-status", "0")], end=True)

        with joined(endless) as link, pytest.raises(Fault, match="answers where one was asked for"):
            Caller(link).ask("/x", Bytes(), Bytes)
        assert sent < 1000

    def test_a_client_that_asks_without_end(self):
        with session({"/one": (Bytes, lambda call, asked: asked)}) as lent:
            exchange = Caller(lent.link).begin("/one")
            patience = threading.Timer(60, lent.link.close)
            patience.start()
            exchange.send(Bytes(b"1"), Bytes(b"2"))  # and maybe more, it doesn't say
            with pytest.raises(Fault, match="2 messages where one is asked for"):
                exchange.finish()
            patience.cancel()

    @pytest.mark.parametrize("status", ["17", "-1", "²", "9" * 5000, ""])
    def test_a_peer_that_ends_with_a_status_that_is_none(self, status):
        def end(stream):
            stream.send_headers([(":status", "200"), ("grpc-status", status)], end=True)

        with joined(end) as link, pytest.raises(Fault) as error:
            Caller(link).ask("/x", Bytes(), Bytes)
        assert error.value.code == Code.UNKNOWN

    def test_a_peer_that_says_nothing_of_how(self):
        def cut(stream):
            stream.send_headers([(":status", "500")], end=True)

        with joined(cut) as link, pytest.raises(Fault, match="ended without its status \\(500\\)"):
            Caller(link).ask("/x", Bytes(), Bytes)

    def test_a_peer_that_ends_within_a_message(self):
        def cut(stream):
            stream.send_headers([(":status", "200")])
            stream.send(b"\0\0\0\0\5ab")
            stream.send_headers([("grpc-status", "0")], end=True)

        with joined(cut) as link, pytest.raises(Fault, match="within a message"):
            Caller(link).ask("/x", Bytes(), Bytes)

    def test_too_many(self):
        go_on = threading.Event()

        def wait(call, asked):
            go_on.wait(60)
            return Bytes()

        with session({"/wait": (Bytes, wait)}) as lent:
            caller = Caller(lent.link)
            waiting = [caller.begin("/wait") for _ in range(64)]
            for each in waiting:
                each.send(Bytes(), end=True)
            with pytest.raises(Unavailable):
                caller.ask("/wait", Bytes(), Bytes)
            go_on.set()
            for each in waiting:
                each.finish()
