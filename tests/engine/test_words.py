"""What flags come to without argparse, beside what argparse makes of the same words."""

import itertools

import pytest

from moby.engine import entry, serving
from moby.engine.call import Call
from moby.engine.words import split
from moby.plan import Plan

PIECES = (
    ("--root", "/a"), ("--root=/b=c",), ("--root", ""), ("--config", "f.toml"), ("--log-level", "debug"),
    ("--log-level=loud",), ("--log-format", "json"), ("--log-format", "xml"), ("--roo", "/a"), ("-h",),
    ("--version",), ("--root",), ("--root", "--config"), ("serve",), ("serve", "--host", "x"),
    ("run", "-it", "--", "-x"), ("--",),
    ("-",),
)  # fmt: skip


def told(function, capsys):
    """Return what a function returns and prints, or with what it ends."""
    try:
        found = function()
    except SystemExit as error:
        found = error.code
    return found, capsys.readouterr()


@pytest.mark.parametrize("count", [1, 2])
def test_an_engine_s_own_flags(count, capsys, monkeypatch):
    quick = 0
    for pieces in itertools.product(PIECES, repeat=count):
        words = [word for piece in pieces for word in piece]
        ours = told(lambda: entry._parse(words, {}, Plan("toy")), capsys)  # noqa: B023 - called at once
        with monkeypatch.context() as slow:
            slow.setattr(entry, "split", lambda *_: None)
            assert ours == told(lambda: entry._parse(words, {}, Plan("toy")), capsys), words  # noqa: B023
        quick += isinstance(ours[0], Call)
    assert quick


@pytest.mark.parametrize(
    "words",
    [
        (), ("-H", "unix:///a"), ("--host=unix:///a", "-H", "tcp://b:1"), ("-H=c",), ("-Hc",), ("--host",),
        ("-H", "-x"), ("-H", "a", "more"), ("--drain-timeout", "3"), ("-H", "a", "--drain-timeout=1.5"),
        ("--drain-timeout=no",),
        ("--help",), ("--hos", "x"),
    ],
)  # fmt: skip
def test_those_of_serve(words, capsys, monkeypatch):
    call = Call(Plan("toy"), {}, None, None, "warning", "serve", words)
    ours = told(lambda: serving._flags(call), capsys)
    monkeypatch.setattr(serving, "split", lambda *_: None)
    assert ours == told(lambda: serving._flags(call), capsys)


def test_the_usual_ones_need_no_more():
    assert split(["--root", "/a", "--root=b", "serve", "-H"], {"--root": "root"}) == (
        {"root": ["/a", "b"]},
        ("serve", "-H"),
    )
    assert split(["-x"], {"--root": "root"}) is None
