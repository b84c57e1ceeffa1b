"""Tables, progress, files and closed streams."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from moby.cli import output
from moby.errors import HostUnfit, Origin, Problem

ROWS = [["runtime/native", 1], ["a", "b\tc\n\x1b[31m"]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["component", "count"], ROWS)
    assert capsys.readouterr().out == "runtime/native\t1\na\tb c  [31m\n"


def test_a_table_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    output.table(["component", "count"], ROWS)
    assert terminal.getvalue() == "COMPONENT        COUNT\nruntime/native   1\na                b c  [31m\n"


def test_nothing_is_printed_where_standard_output_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    output.table(["component", "count"], ROWS)
    output.emit_json({})


def test_json_is_the_same_in_any_locale(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_json({"b": "\u00fc\udcff", "a": 1})
    out = capsys.readouterr().out
    assert out.isascii()
    assert list(json.loads(out).items()) == [("a", 1), ("b", "\u00fc\udcff")]


@pytest.mark.parametrize("where", [None, Origin("a.yaml", 2, 3)], ids=["nowhere", "somewhere"])
def test_a_problem_as_json(where: Origin | None) -> None:
    data = output.problem(Problem("wrong", where, ("it is",), ("mend it",), ("a",)))
    place = {"source": "a.yaml", "line": 2, "column": 3} if where else None
    assert data == {
        "message": "wrong",
        "where": place,
        "because": ["it is"],
        "fixes": ["mend it"],
        "conflict": ["a"],
    }


class TestWrite:
    def test_to_standard_output(self, capsys: pytest.CaptureFixture[str]) -> None:
        output.write("-", "text")
        assert capsys.readouterr().out == "text"

    def test_to_a_file(self, folder: Path) -> None:
        output.write("here", "\u00fc")
        assert (folder / "here").read_bytes() == "\u00fc".encode()

    def test_where_that_cannot_be(self, folder: Path) -> None:
        with pytest.raises(HostUnfit, match=r"can't write missing/here: No such file.*\n.*another file with -o"):
            output.write("missing/here", "text")


class TestProgress:
    @pytest.mark.parametrize(
        ("stream", "term"),
        [
            pytest.param(io.StringIO, "xterm", id="a-pipe"),
            pytest.param(Terminal, "dumb", id="a-simple-terminal"),
            pytest.param(Terminal, None, id="an-unknown-terminal"),
        ],
    )
    def test_is_for_a_person_alone(
        self, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], term: str | None
    ) -> None:
        monkeypatch.delenv("TERM", raising=False)
        if term:
            monkeypatch.setenv("TERM", term)
        monkeypatch.setattr(sys, "stderr", written := stream())
        with output.progress() as show:
            show("resolving")
        assert written.getvalue() == ""

    def test_goes_when_it_is_done(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", written := Terminal())
        with output.progress() as show:
            show("resolving")
            show("building pyz")
        assert written.getvalue() == "\r\x1b[Kresolving ...\r\x1b[Kbuilding pyz ...\r\x1b[K"


def test_a_real_terminal_gets_a_table_without_colours() -> None:
    ours, theirs = pty.openpty()
    code = "from moby.cli.main import main; main(['components', '--kind', 'runtime'])"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := _read(ours):
            shown += chunk
        assert child.wait(timeout=120) == 0
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    header, first, *_ = shown.decode().splitlines()
    assert header.split() == ["COMPONENT", "VERSION", "DISTRIBUTION", "SUMMARY"]
    assert first.startswith("runtime/cgroup")
    assert "\x1b" not in shown.decode()


def _read(descriptor: int) -> bytes:
    """Read from a terminal, which says EIO when nobody has its other end any more."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
