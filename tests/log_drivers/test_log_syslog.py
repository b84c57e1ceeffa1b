"""syslog: against servers that parse by the RFCs, and against rsyslogd."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
from moby_log.syslog import driver as syslog
from moby_log.syslog.driver import Syslog
from moby_log.syslog.messages import FACILITIES, FORMATS, form
from peers.binaries import ROOT, environment, need

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogQuery
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.testing.log_driver import LogWriterSuite
from moby.testing.logs import BASE_NS

PATIENCE_S = 60
ID = "ab" * 32
OLD = re.compile(rb"<(\d{1,3})>([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (?:(\S+) )?(\S{1,32})\[(\d+)\]: (.*)\n", re.S)
NEW = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)) (\S{1,255}) "
    rb"(\S{1,48}) (\S{1,128}) (\S{1,32}) - (.*)\n",
    re.S,
)


class Server:
    """Takes messages on a socket and keeps what came."""

    def __init__(self, family, kind, where, tls=None):
        self.socket = socket.socket(family, kind)
        self.socket.bind(where)
        self.datagrams, self.data, self.connections = [], b"", []
        self.tls = tls
        if kind == socket.SOCK_STREAM:
            self.socket.listen()
        self.thread = threading.Thread(target=self.run, args=(kind,), daemon=True)
        self.thread.start()

    def run(self, kind):
        while True:
            try:
                if kind == socket.SOCK_DGRAM:
                    datagram = self.socket.recv(70000)
                    if not datagram:
                        return
                    self.datagrams.append(datagram)
                    continue
                connection, _ = self.socket.accept()
            except OSError:
                return
            if self.tls:
                try:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                except (OSError, ssl.SSLError):
                    connection.close()
                    continue
            self.connections.append(connection)
            threading.Thread(target=self.take, args=(connection,), daemon=True).start()

    def take(self, connection):
        try:
            while data := connection.recv(65536):
                self.data += data
        except OSError:
            pass

    def close(self):
        with contextlib.suppress(OSError):
            if self.socket.type == socket.SOCK_DGRAM:  # wakes its thread
                with socket.socket(self.socket.family, socket.SOCK_DGRAM) as last:
                    last.sendto(b"", self.socket.getsockname())
            else:
                self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE_S)
        self.socket.close()
        for each in self.connections:
            with contextlib.suppress(OSError):  # what a thread reads from would stay open until something comes
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def serve():
    made = []

    def make(*arguments, **options):
        made.append(Server(*arguments, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def until(condition):
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < limit, "it didn't come"
        time.sleep(0.005)
    return found


def config(tmp_path, **options):
    return LogConfig(ID, tmp_path, name="box", options={f"syslog-{k.replace('_', '-')}": v for k, v in options.items()})


def port(server):
    return server.socket.getsockname()[1]


class TestSyslogSuite(LogWriterSuite):
    @pytest.fixture
    def driver(self):
        return Syslog()

    @pytest.fixture
    def configure(self, tmp_path, serve):
        server = serve(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))

        def make(options=None, **more):
            address = {"syslog-address": f"udp://127.0.0.1:{port(server)}"}
            return LogConfig(ID, tmp_path, name="box", options=address | (options or {}), **more)

        return make


def test_the_old_form_by_datagrams(tmp_path, serve):
    server = serve(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    writer = Syslog().open(config(tmp_path, address=f"udp://127.0.0.1:{port(server)}", format="rfc3164"))
    writer.write(STDOUT, BASE_NS, b"one\n\ntw")
    writer.write(STDERR, BASE_NS, b"bad\n")
    writer.write(STDOUT, BASE_NS, b"o\nrest")
    writer.close()
    until(lambda: len(server.datagrams) == 4)
    found = [OLD.fullmatch(each).groups() for each in server.datagrams]
    host, pid = socket.gethostname().encode(), b"%d" % os.getpid()
    stamp = time.strftime("%b %e %H:%M:%S", time.localtime(BASE_NS // 10**9)).encode()
    assert found == [
        (b"30", stamp, host, ID[:12].encode(), pid, b"one"), (b"27", stamp, host, ID[:12].encode(), pid, b"bad"),
        (b"30", stamp, host, ID[:12].encode(), pid, b"two"), (b"30", stamp, host, ID[:12].encode(), pid, b"rest"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["rfc5424", "rfc5424micro"])
def test_the_new_form_over_tcp(tmp_path, serve, name, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        server = serve(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
        options = {"address": f"tcp://[::1]:{port(server)}", "format": name, "facility": "local3"}
        writer = Syslog().open(LogConfig(ID, tmp_path, name="/box", options=config(tmp_path, **options).options | {
            "tag": "{{.Name}}/{{.ID}}"}))  # fmt: skip
        writer.write(STDERR, BASE_NS + 123_456_789, "gr\u00fc\u00dfe\n".encode())
        writer.close()
        until(lambda: server.data.endswith(b"\n"))
    finally:
        monkeypatch.undo()
        time.tzset()
    priority, stamp, _, app, pid, message_id, text = NEW.fullmatch(server.data).groups()
    tag = f"box/{ID[:12]}".encode()
    assert (priority, app, message_id, text) == (b"155", tag, tag, "gr\u00fc\u00dfe".encode())
    assert int(pid) == os.getpid()
    assert stamp == (b"2023-11-15T03:43:20.123456+05:30" if name == "rfc5424micro" else b"2023-11-15T03:43:20+05:30")


@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_sockets_of_this_host(tmp_path, serve, kind, monkeypatch):
    path = str(tmp_path / "log")
    server = serve(socket.AF_UNIX, socket.SOCK_STREAM if kind == "unix" else socket.SOCK_DGRAM, path)
    monkeypatch.setattr(syslog, "LOCAL_SOCKETS", ("/nonesuch", path))
    for options in ({"address": f"{kind}://{path}"}, {}):
        writer = Syslog().open(config(tmp_path, **options))
        writer.write(STDOUT, BASE_NS, b"hello\n")
        writer.close()
    until(lambda: len(server.datagrams) + server.data.count(b"\n") == 2)
    messages = server.datagrams or server.data.splitlines(keepends=True)
    assert [OLD.fullmatch(each)[6] for each in messages] == [b"hello"] * 2
    assert [OLD.fullmatch(each)[3] for each in messages] == [None] * 2


def test_nobody_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(syslog, "LOCAL_SOCKETS", ("/nonesuch",))
    with pytest.raises(HostUnfit, match="Unix syslog delivery error"):
        Syslog().open(config(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]
    with pytest.raises(HostUnfit, match=f"no syslog server at tcp://127.0.0.1:{closed}.*refused"):
        Syslog().open(config(tmp_path, address=f"tcp://127.0.0.1:{closed}"))


def test_a_server_that_restarts(tmp_path, serve):
    """What a broken connection did not take is sent again by a new one; with no server it is an error."""
    server = serve(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    where = server.socket.getsockname()
    writer = Syslog().open(config(tmp_path, address=f"tcp://127.0.0.1:{where[1]}"))
    writer.write(STDOUT, BASE_NS, b"first\n")
    until(lambda: b"first" in server.data)
    server.close()
    with pytest.raises(OSError, match=r"refused|takes no messages"):
        for _ in range(1000):
            writer.write(STDOUT, BASE_NS, b"lost\n")
    again = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(where)
    again.listen()
    writer.write(STDOUT, BASE_NS, b"second\n")
    connection, _ = again.accept()
    assert b"second" in connection.recv(1000)
    writer.close()
    connection.close()
    again.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    need("openssl", "nothing; install it")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(serve, certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    return serve(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0), tls=context)


def test_tls(tmp_path, secure, certificates):
    address = f"tcp+tls://localhost:{port(secure)}"
    options = {"address": address, "tls_ca_cert": str(certificates / "cert.pem"), "format": "rfc5424"}
    writer = Syslog().open(config(tmp_path, **options))
    writer.write(STDOUT, BASE_NS, b"one\ntwo\n")
    writer.close()
    until(lambda: b"two\n" in secure.data)
    rest, found = secure.data, []
    while rest:
        length, _, rest = rest.partition(b" ")
        found.append(NEW.fullmatch(rest[: int(length)])[7])
        rest = rest[int(length) :]
    assert found == [b"one", b"two"]


def test_tls_that_is_not_trusted(tmp_path, secure, certificates):
    address = f"tcp+tls://localhost:{port(secure)}"
    with pytest.raises(HostUnfit, match=r"(?i)certificate"):
        Syslog().open(config(tmp_path, address=address))
    writer = Syslog().open(config(tmp_path, address=address, tls_skip_verify="1"))
    writer.write(STDOUT, BASE_NS, b"trusting\n")
    writer.close()
    until(lambda: b"trusting\n" in secure.data)
    with pytest.raises(Invalid, match='could not read CA certificate "/nonesuch"'):
        Syslog().open(config(tmp_path, address=address, tls_ca_cert="/nonesuch"))
    with pytest.raises(Invalid, match="Could not load X509 key pair"):
        Syslog().open(config(tmp_path, address=address, tls_cert="/nonesuch", tls_key="/nonesuch"))
    own = {"tls_cert": str(certificates / "cert.pem"), "tls_key": str(certificates / "key.pem")}
    Syslog().open(config(tmp_path, address=address, tls_skip_verify="", **own)).close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "http://x"}, "unsupported scheme: 'http'"),
        ({"address": "unix:///nonesuch"}, "stat /nonesuch: no such file or directory"),
        ({"address": "127.0.0.1:514"}, "first path segment in URL cannot contain colon"),
        ({"address": "nowhere"}, "unsupported scheme: ''"),
        ({"address": "udp://x:port"}, "invalid port"),
        ({"facility": "none"}, "invalid syslog facility"),
        ({"facility": "24"}, "invalid syslog facility"),
        ({"format": "rfc1"}, "Invalid syslog format"),
        ({"other": "1"}, "unknown log opt 'syslog-other' for syslog log driver"),
    ],
)
def test_options_that_are_refused(tmp_path, options, words):
    for call in (lambda given: Syslog().check(given.options), Syslog().open):
        with pytest.raises(Invalid, match=re.escape(words)):
            call(config(tmp_path, **options))


def test_facilities_and_usual_ports(tmp_path):
    assert FACILITIES["local7"] == 23
    assert syslog.facility("16") == FACILITIES["local0"] == 16
    assert str(syslog.address_of({"syslog-address": "tcp://[::1]"})) == "tcp://[::1]:514"


def test_syslog_is_not_read(tmp_path):
    with pytest.raises(Unsupported, match="configured logging driver does not support reading"):
        Syslog().read(config(tmp_path), LogQuery(), -1)


@contextlib.contextmanager
def rsyslogd(folder, kind):
    """Have Debian's own server write what it is told to a file; yield its process and its address."""
    program = need("rsyslogd", "rsyslog")
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    inputs = {
        "udp": f'module(load="imudp")\ninput(type="imudp" address="127.0.0.1" port="{number}")',
        "tcp": f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{number}")',
        "unixgram": f'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" Socket="{folder}/sock")',
    }
    (folder / "rsyslog.conf").write_text(
        f"{inputs[kind]}\n"
        'template(name="t" type="string" '
        'string="%pri%|%syslogtag%|%procid%|%timereported:::date-rfc3339%|%msg%\\n")\n'
        f'action(type="omfile" file="{folder}/out" template="t")\n'
    )
    modules = next((ROOT / "usr/lib").rglob("lmnet.so")).parent
    process = subprocess.Popen(
        [program, "-n", "-f", folder / "rsyslog.conf", "-i", folder / "pid", "-M", modules],
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process, f"unixgram://{folder}/sock" if kind == "unixgram" else f"{kind}://127.0.0.1:{number}"
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["udp", "tcp", "unixgram"])
def test_rsyslogd_understands(tmp_path, kind):
    """It finds every part where we meant it to be."""
    with rsyslogd(tmp_path, kind) as (process, address):
        given = config(tmp_path, address=address, format="" if kind == "unixgram" else "rfc5424micro")
        out = tmp_path / "out"

        def written():
            try:
                writer = Syslog().open(given)
                writer.write(STDERR, BASE_NS + 5000, b"hello there\n")
                writer.close()
            except (Invalid, HostUnfit, OSError):
                return False
            return True

        def arrived():
            assert process.poll() is None, process.stdout.read()
            return written() and out.exists() and b"hello there" in out.read_bytes()

        until(arrived)
        priority, tag, pid, stamp, text = out.read_text().splitlines()[0].split("|")
    assert priority == "27"
    assert (tag, pid, text.strip()) == (f"{ID[:12]}[{os.getpid()}]", str(os.getpid()), "hello there") or (
        tag.startswith(ID[:12])
    )
    if kind != "unixgram":
        assert stamp.startswith("2023-11-1")
        assert ".000005" in stamp


@pytest.mark.parametrize("name", FORMATS)
def test_a_tag_begins_no_message_of_its_own(name):
    """Whatever an image's label is that it is made of."""
    said = form(name, hostname="here", tag="web\n<0>Jan  1 00:00:00 kernel: gone\x85", secure=False)(14, 0, b"hello")
    assert said.splitlines() == [said.removesuffix(b"\n")]
    assert b"web_<0>" in said
