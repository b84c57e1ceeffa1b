"""A folder that is handed over: what of it is wanted, in which order, and how."""

import os
import socket
import stat

import pytest

from moby.context.sending import send
from moby.contracts.builder import Selection
from moby.errors import Invalid, NotFound


class Taken:
    """A receiver that keeps all."""

    def __init__(self, wanted=lambda entry: True):
        self.entries, self.contents, self.wanted, self.open = {}, {}, wanted, ""

    def entry(self, entry):
        assert not self.open, "content of another one is on its way"
        above = entry.path.rpartition("/")[0]
        assert not above or stat.S_ISDIR(self.entries[above].mode), "the folder comes first"
        self.entries[entry.path] = entry
        if stat.S_ISREG(entry.mode) and not entry.link and self.wanted(entry):
            self.contents[entry.path] = b""
            self.open = entry.path
            return True
        return False

    def content(self, path, chunk):
        assert path == self.open
        self.contents[path] += chunk
        if not chunk:
            self.open = ""


@pytest.fixture
def folder(tmp_path):
    for path, text in {
        "a.go": "a", "b.txt": "b", "d/c.go": "c", "d/e/f.go": "f", "d/e/g.txt": "g", "z/keep": "k", "z/drop": "d",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("d/e")
    (tmp_path / "up").symlink_to("/b.txt")
    return tmp_path


def sent(folder, **selection):
    taken = Taken()
    send(folder, Selection(**selection), taken)
    assert not taken.open
    return taken


ALL = ["a.go", "b.txt", "d", "d/c.go", "d/e", "d/e/f.go", "d/e/g.txt", "empty", "link", "up", "z", "z/drop", "z/keep"]


@pytest.mark.parametrize(
    ("selection", "paths"),
    [
        pytest.param({}, ALL, id="all"),
        pytest.param({"exclude": ("d",)}, [each for each in ALL if each[0] != "d"], id="folder"),
        pytest.param({"exclude": ("**", "!z/keep")}, ["z", "z/keep"], id="all but one"),
        pytest.param({"exclude": ("z", "!z/keep")}, [each for each in ALL if each != "z/drop"], id="folder but one"),
        pytest.param(
            {"exclude": ("**/*.go", "d/e/*")},
            ["b.txt", "d", "d/e", "empty", "link", "up", "z", "z/drop", "z/keep"],
            id="deep",
        ),
        pytest.param({"include": ("d/e/f.go",)}, ["d", "d/e", "d/e/f.go"], id="one file"),
        pytest.param({"include": ("**/*.txt",)}, ["b.txt", "d", "d/e", "d/e/g.txt"], id="by ending"),
        pytest.param({"include": ("d",), "exclude": ("d/e/*.go",)}, ["d", "d/c.go", "d/e", "d/e/g.txt"], id="both"),
        pytest.param({"include": ("nothing",)}, [], id="nothing"),
        pytest.param({"follow": ("link/f.go",)}, ["d", "d/e", "d/e/f.go", "link"], id="through a link"),
        pytest.param({"follow": ("up",)}, ["b.txt", "up"], id="absolute link"),
        pytest.param({"follow": ("li*",)}, ["d", "d/e", "d/e/f.go", "d/e/g.txt", "link"], id="wildcard"),
        pytest.param({"follow": ("b.txt/x", "missing/*")}, [], id="no way"),
        pytest.param({"follow": (".",)}, ALL, id="everything"),
    ],
)
def test_what_is_wanted(folder, selection, paths):
    assert list(sent(folder, **selection).entries) == paths


def test_links_in_a_circle_end(folder):
    (folder / "x").symlink_to("y/more")
    (folder / "y").symlink_to("x/less")
    with pytest.raises(Invalid, match="too many symbolic links on the way to x/z"):
        sent(folder, follow=("x/z",))


def test_content(folder):
    (folder / "big").write_bytes(os.urandom(3 << 20))
    taken = sent(folder, include=("big", "d/c.go"))
    assert taken.contents == {"big": (folder / "big").read_bytes(), "d/c.go": b"c"}


def test_only_what_the_receiver_wants(folder):
    taken = Taken(lambda entry: entry.path == "b.txt")
    send(folder, Selection(), taken)
    assert taken.contents == {"b.txt": b"b"}


def test_what_an_entry_says(folder):
    path = folder / "a.go"
    os.chown(path, 5, 6)
    path.chmod(0o4751)
    os.utime(path, ns=(1, 1_234_567_891_123_456_789))
    os.setxattr(path, "user.one", b"1")
    os.link(path, folder / "hard")
    os.mkfifo(folder / "pipe")
    taken = sent(folder)
    first, second = taken.entries["a.go"], taken.entries["hard"]
    assert (first.mode, first.size_bytes, first.time_ns) == (stat.S_IFREG | 0o4751, 1, 1_234_567_891_123_456_789)
    assert (first.uid, first.gid, first.xattrs) == (0, 0, {"user.one": b"1"})
    assert (second.link, "hard" in taken.contents) == ("a.go", False)
    assert taken.entries["link"].link == "d/e"
    assert stat.S_ISFIFO(taken.entries["pipe"].mode)


def test_sockets_are_left_out(folder):
    with socket.socket(socket.AF_UNIX) as each:
        here = os.open(folder, os.O_RDONLY)
        each.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    assert "socket" not in sent(folder).entries


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        send(tmp_path / "missing", Selection(), Taken())


def test_a_pattern_that_is_none(folder):
    with pytest.raises(Invalid, match="pattern"):
        send(folder, Selection(exclude=("!",)), Taken())
