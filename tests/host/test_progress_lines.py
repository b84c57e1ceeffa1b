import io

import pytest

from moby.host.progress_lines import ProgressLines, bar


@pytest.mark.parametrize(
    ("current", "total", "text"),
    [
        (0, 10, "[>" + " " * 50 + "]       0B/10B"),
        (5_000_000, 10_000_000, "[" + "=" * 25 + ">" + " " * 25 + "]      5MB/10MB"),
        (65, 65, "[" + "=" * 50 + ">]      65B/65B"),
        (1234, 0, " 1.234kB"),
        (20, 10, "[" + "=" * 50 + ">]      20B"),
    ],
)
def test_bars(current, total, text):
    assert bar(current, total) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_where_nobody_looks():
    out = io.StringIO()
    lines = ProgressLines(out)
    lines.show("Pulling from a", "1")
    lines.show("Downloading", "abc", "[=>]")
    lines.show("Pull complete", "abc")
    lines.show("Status: done")
    assert out.getvalue() == "1: Pulling from a\nabc: Pull complete\nStatus: done\n"


def test_lines_on_a_terminal():
    out = Terminal()
    lines = ProgressLines(out)
    for status, of, shown in (("Waiting", "a", ""), ("Waiting", "b", ""), ("Downloading", "a", "[=>]")):
        lines.show(status, of, shown)
    lines.show("done")
    assert _screen(out.getvalue()) == ["a: Downloading [=>]", "b: Waiting", "done"]


def _screen(text):
    """Return what a terminal shows: the few sequences that are used, done."""
    rows, row = [""], 0
    while text:
        if text.startswith("\x1b["):
            end = next(at for at, each in enumerate(text[2:], 2) if each.isalpha())
            count, kind, text = text[2:end], text[end], text[end + 1 :]
            row += {"A": -1, "B": 1}.get(kind, 0) * int(count)
            if kind == "K":
                rows[row] = ""
        else:
            each, text = text[0], text[1:]
            if each == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif each != "\r":
                rows[row] += each
    return [each for each in rows if each]
