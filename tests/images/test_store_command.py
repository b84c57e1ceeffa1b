import io
import json
import sys
from datetime import UTC, datetime

import pytest
from images.store_parts import parts, store_of
from moby_images.command import show
from moby_images.command.verb import DockerVerb, ImageCommand
from moby_images.layout.store import Layout
from moby_metadata.sqlite.store import Store as Metadata

from moby.errors import HostUnfit, Invalid, Unsupported
from moby.testing.archives import Archived, docker
from moby.testing.images import add, layer_of
from moby.values import evolve

TAR = layer_of({"a": b"1"})


@pytest.fixture
def images(tmp_path):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield store_of(parts(tmp_path, metadata))


@pytest.fixture
def image(images, capsysbinary, monkeypatch):
    """A function that runs a verb with standard input, and returns its exit code and output."""

    def run(*arguments, stdin=b"", verb=""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = (DockerVerb(images, verb) if verb else ImageCommand(images)).run(arguments)
        return code, capsysbinary.readouterr().out

    return run


def test_load_and_save(image, images, tmp_path):
    data = docker(Archived([TAR]), "a:1")
    (tmp_path / "in.tar").write_bytes(data)
    assert image("load", "-i", str(tmp_path / "in.tar")) == (0, b"Loaded image: a:1\n")
    assert image("-q", stdin=data, verb="load") == (0, b"Loaded image: a:1\n")
    assert image("load", "--platform", "linux/arm64/v8", stdin=data)[0] == 0
    _, saved = image("save", "a:1")
    assert image("-o", str(tmp_path / "out.tar"), "a:1", verb="save") == (0, b"")
    assert (tmp_path / "out.tar").read_bytes() == saved == b"".join(images.save(["a:1"]))
    assert sorted(each.name for each in tmp_path.glob(".out*")) == []


def test_what_can_not_be_read_or_written(image, images, tmp_path, monkeypatch):
    add(images, "a")
    with pytest.raises(Invalid, match="can't open"):
        image("load", "-i", str(tmp_path / "nowhere"))
    with pytest.raises(HostUnfit, match="can't write"):
        image("save", "-o", str(tmp_path / "nowhere/out"), "a")
    with pytest.raises(Invalid, match="no platform"):
        image("load", "--platform", "linux")
    with pytest.raises(Invalid, match="name=value"):
        image("ls", "--filter", "dangling")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(Invalid, match="refusing to save"):
        ImageCommand(images).run(["save", "a"])
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(Invalid, match="stdin is empty"):
        ImageCommand(images).run(["load"])


def test_import(image, images, tmp_path):
    (tmp_path / "in.tar").write_bytes(TAR)
    code, out = image("-c", "CMD x", "--platform", "linux/arm64", str(tmp_path / "in.tar"), "a:1", verb="import")
    found = images.get("a:1")
    assert (code, out.decode().strip()) == (0, str(found.id))
    assert (found.comment, found.platform.architecture) == (f"Imported from {tmp_path / 'in.tar'}", "arm64")
    _, out = image("import", "-m", "why", "-", stdin=TAR)
    assert images.get(out.decode().strip()).comment == "why"


def test_history(image, images):
    found = add(images, "a:1", TAR)
    _, out = image("a:1", verb="history")
    assert out.decode().splitlines()[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert out.decode().splitlines()[1].split() == [found.id.hex[:12], "N/A", "1B"]
    assert image("history", "-q", "--no-trunc", "a:1")[1].decode().split() == [str(found.id)]
    [step] = json.loads(image("history", "--json", "a:1")[1])
    assert (step["Id"], step["Tags"], step["Size"]) == (str(found.id), ["a:1"], 1)


def test_what_an_image_says_of_itself_commands_no_terminal(image, images):
    add(images, "a:1", TAR)
    made = images.get("a:1")
    steps = [evolve(each, created_by="RUN \x1b[2J", comment="\x9b2J") for each in images.history(str(made.id))]
    shown = show.history(steps, whole=True, now=datetime.now(UTC))
    assert "RUN \\x1b[2J" in shown
    assert shown.replace("\n", "").isprintable()


def test_ls(image, images):
    found = add(images, "a:1")
    add(images, "b:1", TAR)
    _, out = image("--filter", "reference=a", "--digests", verb="images")
    assert str(found.digest) in out.decode()
    assert len(out.decode().splitlines()) == 2
    assert image("ls", "-q", "--filter", "reference=a")[1].decode().split() == [found.id.hex[:12]]


def test_tag_and_rmi(image, images):
    found = add(images, "a:1")
    assert image("a:1", "b:1", verb="tag") == (0, b"")
    images.prepare("c1", found)
    assert image("a:1", verb="rmi") == (0, b"Untagged: a:1\n")
    assert image("b:1", verb="rmi") == (1, b"")
    assert image("-f", "--no-prune", "b:1", verb="rmi")[1].startswith(b"Untagged: b:1\nDeleted: ")


def test_prune(image, images):
    add(images, "a:1", TAR)
    code, out = image("prune", "-a", stdin=b"n\n")
    assert (code, b"remove all unused images" in out) == (1, True)
    assert image("prune", stdin=b"y\n")[1].endswith(b"Total reclaimed space: 0B\n")
    _, out = image("prune", "-af", "--filter", "label!=x")
    assert out.decode().splitlines()[:2] == ["Deleted Images:", "untagged: a:1"]
    assert out.endswith(b"Total reclaimed space: 1B\n")


def test_what_a_layout_never_does(tmp_path):
    layout = Layout(tmp_path)
    calls = {
        "history": lambda: layout.history("a"), "prune": layout.prune, "load": lambda: layout.load(io.BytesIO()),
        "save": lambda: layout.save(["a"]), "import": lambda: layout.import_(io.BytesIO()), "usage": layout.usage,
        "prepare": lambda: layout.prepare("c", None), "mounts": lambda: layout.mounts("c"),
        "changes": lambda: layout.changes("c"), "export": lambda: layout.export("c"),
        "sizes": lambda: layout.sizes("c"), "commit": lambda: layout.commit("c"), "bytes": layout.layers_bytes,
        "filters": lambda: layout.list({"label": ["a"]}),
    }  # fmt: skip
    for name, call in calls.items():
        with pytest.raises(Unsupported, match="images/layout never"):
            call()
        assert name
    layout.release("c")
    assert layout.prepared() == {}
