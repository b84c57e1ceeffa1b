"""The conformance suite of the kind `log-driver`; `moby.testing.log_driver_mutants` holds what it must fail."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogDriver, LogQuery
from moby.errors import Invalid, Unsupported
from moby.testing.logs import (
    BASE_NS,
    SECOND_NS,
    Following,
    descriptors,
    frames,
    killed,
    no_space,
    read,
    said,
    six_lines,
    texts,
    write,
)  # fmt: skip

__all__ = ["Configure", "LogDriverSuite", "LogWriterSuite"]

Configure = Callable[..., LogConfig]
_LONG = 16384


class LogWriterSuite:
    """What every log driver must do, also one that can't be read. A subclass brings `driver`, and `configure` where it
    needs options."""

    settling_s = 0.0
    """How long what a driver has open may take to be closed, where another process or thread does it."""
    elsewhere = False
    """Whether the driver has a process of its own, whose disk can't be filled from here."""

    @pytest.fixture
    def driver(self) -> LogDriver:
        """Return the driver under test."""
        raise NotImplementedError

    @pytest.fixture
    def configure(self, tmp_path: Path) -> Configure:
        """Return what makes a container's configuration, each with a folder of its own."""

        def make(**more: Any) -> LogConfig:
            number = len(list(tmp_path.iterdir()))
            folder = tmp_path / str(number)
            folder.mkdir()
            return LogConfig(f"{number:064x}", folder, name="box", **more)

        return make

    def test_closing_twice(self, driver: LogDriver, configure: Configure) -> None:
        """Is fine."""
        writer = driver.open(configure())
        writer.close()
        writer.close()

    def test_unknown_options(self, driver: LogDriver, configure: Configure) -> None:
        """Invalid by name, in `check` and in `open`; the supervisor's own are no matter here."""
        driver.check({"mode": "non-blocking", "max-buffer-size": "4m"})
        if _takes_all(driver):
            return
        with pytest.raises(Invalid, match="unknown log opt 'no-such-option' for"):
            driver.check({"no-such-option": "1"})
        with pytest.raises(Invalid, match="no-such-option"):
            driver.open(configure(options={"no-such-option": "1"}))

    def test_common_options_that_are_wrong(self, driver: LogDriver) -> None:
        """Invalid for patterns and tags that can't be read."""
        if _takes_all(driver):
            return
        for options in ({"labels-regex": "("}, {"env-regex": "["}, {"tag": "{{.Nothing}}"}, {"tag": "{{"}):
            with pytest.raises(Invalid):
                driver.check(options)

    def test_reading_where_that_is_not_there(self, driver: LogDriver, configure: Configure) -> None:
        """Unsupported."""
        if driver.readable:
            return
        with pytest.raises(Unsupported):
            list(driver.read(configure(), LogQuery(), -1))

    def test_nothing_stays_open(self, driver: LogDriver, configure: Configure) -> None:
        """Of writers that were closed, and readers that were read to the end or let go."""
        written = configure()
        for _ in range(2):  # the first time things are opened that stay, such as a connection
            before = {*descriptors()}
            six_lines(driver, written)
            if driver.readable:
                texts(driver, written)
                ended, end = os.pipe()
                reading = driver.read(written, LogQuery(follow=True), ended)
                next(iter(reading))
                getattr(reading, "close", lambda: None)()
                del reading
                os.close(ended)
                os.close(end)
        until = time.monotonic() + self.settling_s
        while (after := {*descriptors()} - before) and time.monotonic() < until:
            time.sleep(0.01)
        assert not after


class LogDriverSuite(LogWriterSuite):
    """What every log driver must do; of one that can't be read, what can't be seen is skipped."""

    @pytest.fixture
    def written(self, driver: LogDriver, configure: Configure) -> LogConfig:
        """Return a log of six lines of both streams, a second apart."""
        return six_lines(driver, configure())

    def test_what_was_written_is_read(self, driver: LogDriver, written: LogConfig) -> None:
        """Each record of each stream, in their order, with their ends."""
        _needs_reading(driver)
        expected = [(STDERR if number % 3 == 2 else STDOUT, b"line %d\n" % number) for number in range(6)]
        assert said(driver, written) == expected

    def test_text_is_kept(self, driver: LogDriver, configure: Configure) -> None:
        """Quotes, escapes, control characters and what isn't ASCII come back as they were."""
        _needs_reading(driver)
        config = configure()
        lines = ['"\\ \\n {"log":"x"}', "\t\r\x01\x1f\x7f", "<&>", "üß€\U0001f600\u2028\u2029\ufffd", "", '\\"', "a\\"]
        write(driver, config, [(STDOUT, "".join(f"{line}\n" for line in lines).encode())])
        assert texts(driver, config) == [f"{line}\n".encode() for line in lines]

    def test_a_line_in_many_chunks(self, driver: LogDriver, configure: Configure) -> None:
        """It is one record, whatever the other stream does between them."""
        _needs_reading(driver)
        config = configure()
        chunks = [(STDOUT, b"a"), (STDERR, b"x"), (STDOUT, b"b\nc"), (STDERR, b"y\n"), (STDOUT, b""), (STDOUT, b"\n")]
        write(driver, config, chunks)
        assert said(driver, config) == [(STDOUT, b"ab\n"), (STDERR, b"xy\n"), (STDOUT, b"c\n")]

    def test_what_has_no_end(self, driver: LogDriver, configure: Configure) -> None:
        """It is a record once the writer is closed, and the next one's lines begin anew."""
        _needs_reading(driver)
        config = configure()
        write(driver, config, [(STDOUT, b"whole\nrest"), (STDERR, b"other")])
        write(driver, config, [(STDOUT, b"next\n")])
        assert said(driver, config) == [
            (STDOUT, b"whole\n"), (STDOUT, b"rest"), (STDERR, b"other"), (STDOUT, b"next\n"),
        ]  # fmt: skip

    @pytest.mark.parametrize("extra", [-1, 0, 1, _LONG], ids=["less", "just", "more", "twice"])
    def test_a_long_line_is_cut(self, driver: LogDriver, configure: Configure, extra: int) -> None:
        """At 16 KiB; what is left of it is a record too, and no byte is lost."""
        _needs_reading(driver)
        config = configure()
        text = b"x" * (_LONG + extra)
        write(driver, config, [(STDOUT, b"before\n" + text[:5000]), (STDOUT, text[5000:] + b"\nafter\n")])
        line = text + b"\n"
        pieces = [line[at : at + _LONG] for at in range(0, len(line), _LONG)]
        assert texts(driver, config) == [b"before\n", *pieces, b"after\n"]

    def test_streams(self, driver: LogDriver, written: LogConfig) -> None:
        """Only those that are asked for."""
        _needs_reading(driver)
        assert texts(driver, written, stdout=False) == [b"line 2\n", b"line 5\n"]
        assert {stream for stream, _ in said(driver, written, stderr=False)} == {STDOUT}
        assert said(driver, written, stdout=False, stderr=False) == []

    def test_since_and_until(self, driver: LogDriver, written: LogConfig) -> None:
        """Records of both moments are in."""
        _needs_reading(driver)
        since, until = BASE_NS + SECOND_NS, BASE_NS + 3 * SECOND_NS
        assert texts(driver, written, since_ns=since) == [b"line %d\n" % number for number in range(1, 6)]
        assert texts(driver, written, until_ns=until) == [b"line %d\n" % number for number in range(4)]
        assert texts(driver, written, since_ns=since + 1, until_ns=until - 1) == [b"line 2\n"]
        assert texts(driver, written, since_ns=BASE_NS + 60 * SECOND_NS) == []

    def test_tail(self, driver: LogDriver, written: LogConfig) -> None:
        """The last so many, of what else is asked for."""
        _needs_reading(driver)
        for tail in (0, 1, 4, 6, 7):
            assert (
                texts(driver, written, tail=tail) == [b"line %d\n" % number for number in range(6)][max(0, 6 - tail) :]
            )
        assert texts(driver, written, tail=2, stderr=False) == [b"line 3\n", b"line 4\n"]
        assert texts(driver, written, tail=2, until_ns=BASE_NS + 2 * SECOND_NS) == [b"line 1\n", b"line 2\n"]
        assert texts(driver, written, tail=5, since_ns=BASE_NS + 4 * SECOND_NS) == [b"line 4\n", b"line 5\n"]

    def test_times(self, driver: LogDriver, configure: Configure) -> None:
        """Of nine decimals, in UTC, in each record, its header counted."""
        _needs_reading(driver)
        config = configure()
        writer = driver.open(config)
        writer.write(STDOUT, BASE_NS + 120, b"a\nb\n")
        writer.close()
        stamp = b"2023-11-14T22:13:20.000000120Z "
        assert texts(driver, config, timestamps=True) == [stamp + b"a\n", stamp + b"b\n"]

    def test_without_headers(self, driver: LogDriver, written: LogConfig) -> None:
        """The bytes alone."""
        _needs_reading(driver)
        assert read(driver, written, framed=False, tail=2) == b"line 4\nline 5\n"
        stamp = b"2023-11-14T22:13:25.000000000Z "
        assert read(driver, written, framed=False, tail=1, timestamps=True) == stamp + b"line 5\n"

    def test_details(self, driver: LogDriver, configure: Configure) -> None:
        """Labels and variables that were asked for, sorted, quoted as in URLs, after the time."""
        _needs_reading(driver)
        config = configure(
            labels={"b": "x y&", "other": "1", "com.re": "2"}, environment=("A=ü=1", "B=2", "NONE"),
            options={"labels": "b,none", "env": "A", "labels-regex": "^com[.]"},
        )  # fmt: skip
        write(driver, config, [(STDOUT, b"l\n")])
        before = b"A=%C3%BC%3D1,b=x+y%26,com.re=2 "
        assert texts(driver, config, details=True) == [before + b"l\n"]
        stamped = texts(driver, config, details=True, timestamps=True)
        assert stamped[0].endswith(b"Z " + before + b"l\n")
        assert texts(driver, config) == [b"l\n"]
        plain = six_lines(driver, configure())
        assert texts(driver, plain, details=True, tail=1) == [b" line 5\n"]

    def test_a_log_that_is_not_there(self, driver: LogDriver, configure: Configure) -> None:
        """It is empty."""
        _needs_reading(driver)
        config = configure()
        assert said(driver, config) == said(driver, config, tail=3) == []
        driver.open(config).close()
        assert said(driver, config) == said(driver, config, tail=3) == []

    def test_a_writer_goes_on(self, driver: LogDriver, configure: Configure) -> None:
        """After one that was closed, and after one that never was; what that one was given is there."""
        _needs_reading(driver)
        config = configure()
        write(driver, config, [(STDOUT, b"1\n")])
        left = driver.open(config)
        left.write(STDOUT, BASE_NS, b"2\nlost")
        assert texts(driver, config) == [b"1\n", b"2\n"]
        write(driver, config, [(STDOUT, b"3\n")])
        assert texts(driver, config) == [b"1\n", b"2\n", b"3\n"]
        with suppress(OSError):
            left.close()

    def test_killed_writers(self, driver: LogDriver, configure: Configure) -> None:
        """Whenever one is killed: records are whole and in their order, and the next writer's come after them."""
        _needs_reading(driver)
        config = configure()
        for number in range(8):
            killed(driver, config, number)
        write(driver, config, [(STDOUT, b"9 0\n")])
        found = [tuple(map(int, text.split())) for text in texts(driver, config)]
        rounds = [[line for each, line, *_ in found if each == number] for number in range(8)]
        assert found == sorted(found)
        assert found[-1] == (9, 0)
        assert all(lines == list(range(len(lines))) for lines in rounds)
        assert all(rounds), "what was on disk before is gone"

    def test_follow(self, driver: LogDriver, configure: Configure) -> None:
        """What is there, then what comes, and the end once `ended` is readable and all is read."""
        _needs_reading(driver)
        config = configure()
        writer = driver.open(config)
        writer.write(STDOUT, BASE_NS, b"old\nbefore\n")
        following = Following(driver, config, LogQuery(follow=True, tail=1))
        following.wait_for(b"before\n")
        following.goes_on()
        for number in range(8):
            writer.write(STDERR, BASE_NS + number, b"new %d\n" % number)
            following.wait_for(b"new %d\n" % number)
        writer.write(STDOUT, BASE_NS, b"last\n")
        writer.close()
        found = [text for _, text in frames(following.end())]
        assert found == [b"before\n", *(b"new %d\n" % number for number in range(8)), b"last\n"]

    def test_follow_from_now(self, driver: LogDriver, written: LogConfig) -> None:
        """With a tail of none only what comes."""
        _needs_reading(driver)
        following = Following(driver, written, LogQuery(follow=True, tail=0, timestamps=True))
        assert following.end() == b""

    def test_a_full_disk(self, driver: LogDriver, configure: Configure) -> None:
        """The chunk is lost by an error, whole; the next is tried."""
        _needs_reading(driver)
        if self.elsewhere:
            pytest.skip("the disk of another process can't be filled from here")
        config = configure()
        writer = driver.open(config)
        writer.write(STDOUT, BASE_NS, b"before\n")
        with no_space(), pytest.raises(OSError, match=r"."):
            for _ in range(64):
                writer.write(STDOUT, BASE_NS, b"x" * 1023 + b"\n")
        writer.write(STDOUT, BASE_NS, b"after\n")
        writer.close()
        found = texts(driver, config)
        assert (found[0], found[-1]) == (b"before\n", b"after\n")
        assert set(found[1:-1]) <= {b"x" * 1023 + b"\n"}


def _needs_reading(driver: LogDriver) -> None:
    if not driver.readable:
        pytest.skip("this driver can't be read: its own tests look at what its sink gets")


def _takes_all(driver: LogDriver) -> bool:
    """Whether a driver keeps nothing, and so takes any option, as docker's `none`."""
    try:
        driver.check({"no-such-option": "1", "labels-regex": "("})
    except Invalid:
        return False
    return not driver.readable and not driver.waits
