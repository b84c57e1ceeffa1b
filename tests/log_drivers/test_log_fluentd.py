"""fluentd: against a forward input that reads MessagePack strictly."""

import re
import socket
import threading
import time

import pytest
from moby_log.fluentd.driver import Fluentd
from moby_log.fluentd.msgpack import mapping, text, unsigned
from moby_log.fluentd.options import settings
from moby_log.fluentd.sender import Event, Queued, Sender

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogQuery
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.testing.log_driver import LogWriterSuite
from moby.testing.logs import BASE_NS

PATIENCE_S = 60
ID = "cd" * 32


def decoded(data):
    """Return the first value of MessagePack and what is left; IndexError where it isn't whole, else strict."""

    def take(count):
        nonlocal data
        if len(data) < count:
            raise IndexError
        taken, data = data[:count], data[count:]
        return taken

    def number(width):
        return int.from_bytes(take(width), "big")

    def value():
        code = take(1)[0]
        if code < 0x80:
            return code
        if code < 0x90:
            return pairs(code & 15)
        if code < 0xA0:
            return [value() for _ in range(code & 15)]
        if code < 0xC0:
            return take(code & 31)
        if 0xCC <= code <= 0xCF:
            return number(1 << (code - 0xCC))
        if 0xD9 <= code <= 0xDB:
            return take(number(1 << (code - 0xD9)))
        if code == 0xDE:
            return pairs(number(2))
        assert code == 0xD7, f"unexpected {code:#x}"
        assert take(1) == b"\0"
        return number(4), number(4)

    def pairs(count):
        found = {}
        for _ in range(count):
            key = value()
            assert key not in found
            found[key] = value()
        return found

    return value(), data


class Input:
    """A forward input; answers those who want to be answered, unless it is told to be wrong."""

    def __init__(self, answer=True):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.events, self.connections, self.answer = [], [], answer
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.take, args=(connection,), daemon=True).start()

    def take(self, connection):
        data = b""
        try:
            while more := connection.recv(65536):
                data += more
                while data:
                    try:
                        event, data = decoded(data)
                    except IndexError:
                        break
                    self.events.append(event)
                    if b"chunk" in event[3]:
                        # Who is answered wrongly sends again at once, by another connection.
                        right, self.answer = self.answer, True
                        connection.sendall(mapping({b"ack": event[3][b"chunk"] if right else b"x" * 24}))
        except OSError:
            pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE_S)
        self.socket.close()
        for each in self.connections:
            each.close()


@pytest.fixture
def server():
    found = Input()
    yield found
    found.close()


def until(condition):
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit, "it didn't come"
        time.sleep(0.005)


def config(tmp_path, labels=None, **options):
    given = {f"fluentd-{name.replace('_', '-')}": value for name, value in options.items() if name != "labels"}
    return LogConfig(
        ID, tmp_path, name="box", labels={"l": "v"}, options=given | ({"labels": labels} if labels else {})
    )


class TestFluentdSuite(LogWriterSuite):
    @pytest.fixture
    def driver(self):
        return Fluentd()

    @pytest.fixture
    def configure(self, tmp_path):
        """Of a server that takes no connection itself: one of its own is no descriptor that a driver left open."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = {"fluentd-address": f"127.0.0.1:{listening.getsockname()[1]}"}

            def make(options=None, **more):
                return LogConfig(ID, tmp_path, name="box", options=address | (options or {}), **more)

            yield make


@pytest.mark.parametrize("sub_second", ["false", "true"])
def test_events(tmp_path, server, sub_second):
    given = config(tmp_path, labels="l", address=server.address, sub_second_precision=sub_second)
    writer = Fluentd().open(given)
    writer.write(STDOUT, BASE_NS + 42, b"one\n\n")
    writer.write(STDERR, BASE_NS, b"\xff\n" + b"x" * 20000 + b"\nrest")
    writer.close()
    until(lambda: len(server.events) == 6)
    at = [(BASE_NS // 10**9, 42), (BASE_NS // 10**9, 0)] if sub_second == "true" else [BASE_NS // 10**9] * 2
    fields = {b"container_id": ID.encode(), b"container_name": b"/box", b"l": b"v"}
    tag = ID[:12].encode()
    assert server.events[0] == [tag, at[0], {**fields, b"source": b"stdout", b"log": b"one"}, {}]
    assert server.events[1][2][b"log"] == b""
    assert server.events[2] == [tag, at[1], {**fields, b"source": b"stderr", b"log": b"\xff"}, {}]
    first, last, rest = (each[2] for each in server.events[3:])
    assert [first[b"log"], last[b"log"], rest[b"log"]] == [b"x" * 16384, b"x" * 3616, b"rest"]
    assert [each[b"partial_ordinal"] for each in (first, last, rest)] == [b"1", b"2", b"1"]
    assert [each[b"partial_last"] for each in (first, last, rest)] == [b"false", b"true", b"false"]
    assert first[b"partial_message"] == b"true"
    assert first[b"partial_id"] == last[b"partial_id"] != rest[b"partial_id"]


def test_sizes_of_messagepack():
    for size in (0, 31, 32, 255, 256, 65535, 65536):
        assert decoded(text(b"x" * size)) == (b"x" * size, b"")
    for value in (0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1):
        assert decoded(unsigned(value)) == (value, b"")
    for size in (0, 15, 16, 300):
        values = {b"%d" % each: b"v" for each in range(size)}
        assert decoded(mapping(values)) == (values, b"")


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong-first"])
def test_acknowledged(tmp_path, server, right):
    """One that is answered wrongly is sent again."""
    server.answer = right
    writer = Fluentd().open(config(tmp_path, address=server.address, request_ack="true"))
    writer.write(STDOUT, BASE_NS, b"one\ntwo\n")
    writer.close()
    until(lambda: len(server.events) == (2 if right else 3))
    logs = [each[2][b"log"] for each in server.events]
    assert logs == ([b"one", b"two"] if right else [b"one", b"one", b"two"])
    assert len({each[3][b"chunk"] for each in server.events}) == 2


def test_one_that_restarts(tmp_path, server):
    writer = Fluentd().open(config(tmp_path, address=server.address, request_ack="1", retry_wait="1ms"))
    writer.write(STDOUT, BASE_NS, b"one\n")
    for each in server.connections:
        each.shutdown(socket.SHUT_RDWR)
    writer.write(STDOUT, BASE_NS, b"two\n")
    writer.close()
    assert [each[2][b"log"] for each in server.events] == [b"one", b"two"]


def test_one_that_never_comes(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(HostUnfit, match=f"no fluentd at tcp://{address}: .*refused"):
        Fluentd().open(config(tmp_path, address=address))
    given = settings({"fluentd-address": address, "fluentd-retry-wait": "1ms", "fluentd-max-retries": "3"})
    with pytest.raises(OSError, match="could not connect to fluentd after 3 retries"):
        Sender(given).send(Event(b"", acknowledged=False))


def test_one_that_hangs_up_each_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        given = settings({
            "fluentd-address": f"127.0.0.1:{listening.getsockname()[1]}", "fluentd-retry-wait": "1ms",
            "fluentd-max-retries": "2", "fluentd-request-ack": "1", "fluentd-read-timeout": "20ms",
        })  # fmt: skip
        sender = Sender(given)
        with pytest.raises(OSError, match="failed to write to fluentd after 2 attempts"):
            sender.send(Event(b"", acknowledged=True))
        sender.disconnect()


def test_asynchronous(tmp_path, server):
    given = config(tmp_path, **{"address": server.address, "async": "true", "async_reconnect_interval": "100ms"})
    writer = Fluentd().open(given)
    for number in range(100):
        writer.write(STDOUT, BASE_NS, b"%d\n" % number)
    writer.close()
    until(lambda: len(server.events) == 100)
    assert sorted(int(each[2][b"log"]) for each in server.events) == list(range(100))


def test_asynchronous_without_anybody(tmp_path, monkeypatch):
    """It opens; what finds the buffer full is refused, and closing gives up."""
    from moby_log.fluentd import sender

    monkeypatch.setattr(sender, "_LAST_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    given = config(tmp_path, **{"address": address, "async": "1", "buffer_limit": "4", "retry_wait": "10ms"})
    writer = Fluentd().open(given)
    with pytest.raises(OSError, match="Buffer full, limit 4"):
        for _ in range(6):
            writer.write(STDOUT, BASE_NS, b"x\n")
    writer.close()
    Queued(Sender(settings({})), 1).close()


def test_unix_sockets(tmp_path):
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        writer = Fluentd().open(config(tmp_path, address=f"unix://{path}"))
        writer.write(STDOUT, BASE_NS, b"x\n")
        connection, _ = listening.accept()
        event, rest = decoded(connection.recv(1000))
        assert (event[2][b"log"], rest) == (b"x", b"")
        writer.close()
        connection.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"address": "http://x"}, "invalid fluentd-address (http://x): unsupported scheme: 'http'"),
        ({"address": "unix:///"}, "invalid fluentd-address (unix:///): path is empty"),
        ({"address": "tcp://x/y"}, "should not contain a path element"),
        ({"address": "x:99999"}, "invalid port"),
        ({"buffer_limit": "much"}, "invalid size: 'much'"),
        ({"retry_wait": "5"}, 'time: missing unit in duration "5"'),
        ({"retry_wait": "x"}, 'time: invalid duration "x"'),
        ({"max_retries": "-1"}, 'strconv.ParseUint: parsing "-1": invalid syntax'),
        ({"max_retries": "4294967295"}, "invalid fluentd-max-retries: value out of range"),
        ({"max_retries": "99999999999"}, "value out of range"),
        ({"async": "maybe"}, 'strconv.ParseBool: parsing "maybe": invalid syntax'),
        ({"async_reconnect_interval": "1m"}, "must be between 100ms and 10s"),
        ({"async_reconnect_interval": "x"}, "invalid value for fluentd-async-reconnect-interval: time: invalid"),
        ({"write_timeout": "x"}, "invalid value for fluentd-write-timeout: value must be a duration"),
        ({"read_timeout": "-1s"}, "value must be a duration that is non-negative"),
        ({"other": "1"}, "unknown log opt 'fluentd-other' for fluentd log driver"),
    ],
)
def test_fluentd_options_that_are_refused(tmp_path, options, words):
    with pytest.raises(Invalid, match=re.escape(words)):
        Fluentd().check(config(tmp_path, **options).options)


def test_fluentd_addresses():
    def address(given):
        return str(settings({"fluentd-address": given}).address)

    assert address("") == "tcp://127.0.0.1:24224"
    assert address("host") == "tcp://host:24224"
    assert address("tls://[::1]:1") == "tls://[::1]:1"
    assert address("unix:///a/b") == "unix:///a/b"


def test_fluentd_is_not_read(tmp_path):
    with pytest.raises(Unsupported, match="does not support reading"):
        Fluentd().read(config(tmp_path), LogQuery(), -1)
