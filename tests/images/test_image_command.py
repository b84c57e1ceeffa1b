import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from moby_images.command import plugin as command_plugin
from moby_images.command import show
from moby_images.command.verb import ImageCommand
from moby_images.layout import plugin as layout_plugin
from moby_images.layout.store import Layout

from moby.component import facts_of
from moby.contracts.ambient import Place
from moby.errors import Invalid, NotFound
from moby.oci.reference import parse
from moby.testing.images import add, layer_of


@pytest.fixture
def images(tmp_path):
    return Layout(tmp_path / "state")


@pytest.fixture
def image(images, capsys, monkeypatch):
    """A function that runs the verb, and returns its exit code, output and errors."""
    monkeypatch.setattr("sys.argv", ["/opt/edge.pyz", "image"])

    def run(*arguments):
        code = ImageCommand(images).run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


# The parts


def test_facts():
    [layout], [command, *others] = layout_plugin.moby_components(), command_plugin.moby_components()
    facts = facts_of(layout)
    assert (facts.id, facts.preferred, facts.ambient) == ("images/layout", True, {"place": "place"})
    assert {each.name for each in facts.options} == {"max_unpacked_bytes", "max_unpacked_files"}
    names = ["images", "load", "save", "rmi", "tag", "history", "import", "pull", "push", "login", "logout"]
    assert [facts_of(each).id for each in others] == [f"command/{name}" for name in names]
    needs = [(each.kind, str(each.arity)) for each in facts_of(command).needs]
    assert (facts_of(command).id, needs) == ("command/image", [("images", "one"), ("image-registry", "optional")])


def test_parts_are_made_without_effects(tmp_path):
    place = Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache")
    images = layout_plugin.make(layout_plugin.Config(max_unpacked_bytes=0), place=place)
    command_plugin.make(command_plugin.Config(), images=images, image_registry=None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Invalid, match="more than 0 bytes"), images.rootfs(add(images, "a")):
        pass


# Making


def test_from_host(image, images):
    code, out, err = image("from-host", "--tag", "demo:1", "sh", "cat")
    assert (code, err) == (0, "")
    made = images.get("demo:1")
    assert out == f"{made.id}\n"
    assert made.config.command == ("/bin/sh",)
    assert image("from-host", "-t", "demo:1", "cat", "sh")[1] == out


def test_from_host_has_a_name_of_its_own(image, images):
    code, out, _ = image("from-host", "--json", "sh")
    assert code == 0
    assert json.loads(out) == {
        "id": str(images.get("host").id),
        "references": ["host:latest"],
        "created": "",
        "size_bytes": images.get("host").size_bytes,
    }


def test_from_host_adds_files(image, images, tmp_path, monkeypatch):
    (tmp_path / "data:1").write_text("x")
    monkeypatch.chdir(tmp_path)
    image("from-host", "--add", "data:1:/opt/y", "--add", "data:1", "sh")
    with images.rootfs(images.get("host")) as root:
        assert (root / "opt/y").read_text() == "x"
        assert (root / str(tmp_path)[1:] / "data:1").read_text() == "x"


def test_from_host_fails_whole(image, images):
    with pytest.raises(NotFound, match="no-such-program"):
        image("from-host", "sh", "no-such-program")
    with pytest.raises(Invalid, match="lower case"):
        image("from-host", "--tag", "Demo", "sh")
    assert images.list() == ()


# Listing


@pytest.fixture
def three(images):
    """Two images, of which one has two names, and one without a name."""
    old = add(images, "a:1")
    new = add(images, "a:1", layer_of({"x": b"y" * 12_345}))
    other = add(images, "ghcr.io/me/app:2")
    images.tag("a:1", parse("b"))
    return old, new, other


def test_ls(image, three):
    old, new, other = three
    code, out, err = image("ls")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "REPOSITORY       TAG      IMAGE ID       CREATED   SIZE",
        f"a                1        {new.id.hex[:12]}   N/A       {show.human_size(new.size_bytes)}",
        f"b                latest   {new.id.hex[:12]}   N/A       {show.human_size(new.size_bytes)}",
        f"ghcr.io/me/app   2        {other.id.hex[:12]}   N/A       {show.human_size(other.size_bytes)}",
        f"<none>           <none>   {old.id.hex[:12]}   N/A       {show.human_size(old.size_bytes)}",
    ]


def test_ls_of_nothing(image):
    assert image("ls") == (0, "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n", "")
    assert image("ls", "-q") == (0, "", "")
    assert image("ls", "--json") == (0, "[]\n", "")


def test_ls_ids(image, three):
    old, new, other = three
    assert image("ls", "-q")[1].split() == [each.id.hex[:12] for each in (new, other, old)]
    assert image("ls", "-q", "--no-trunc")[1].split() == [str(each.id) for each in (new, other, old)]


@pytest.mark.parametrize(("wanted", "count"), [("a", 2), ("a:1", 2), ("a:2", 0), ("ghcr.io/me/app", 1), ("app", 0)])
def test_ls_of_a_repository(image, three, wanted, count):
    assert len(image("ls", wanted)[1].splitlines()) == 1 + count


def test_ls_json(image, three):
    code, out, _ = image("ls", "--json")
    assert code == 0
    assert [each["references"] for each in json.loads(out)] == [["a:1", "b:latest"], ["ghcr.io/me/app:2"], []]


def test_inspect(image, three):
    _, new, _ = three
    code, out, err = image("inspect", "a:1")
    assert (code, err) == (0, "")
    [found] = json.loads(out)
    assert found["Id"] == str(new.id)
    assert found["RepoTags"] == ["a:1", "b:latest"]
    assert found["RepoDigests"] == [f"a@{new.digest}", f"b@{new.digest}"]
    assert found["RootFS"] == {"Type": "layers", "Layers": [str(each) for each in new.layers]}
    assert found["Config"]["Cmd"] == ["-v"]
    assert image("inspect", "--json", "a:1")[1] == out


def test_inspect_shows_what_there_is(image, three):
    code, out, err = image("inspect", "nowhere", "b")
    assert (code, len(json.loads(out))) == (1, 1)
    assert err.startswith("no image 'nowhere' is here; here are a:1, b:latest, ghcr.io/me/app:2\n")


# Names


def test_tag(image, images, three):
    assert image("tag", "a:1", "c:3") == (0, "", "")
    assert images.get("c:3").id == three[1].id
    with pytest.raises(NotFound):
        image("tag", "nowhere", "c")


def test_rm(image, images, three):
    old, new, other = three
    assert image("rm", "a:1", "b") == (0, f"Untagged: a:1\nUntagged: b:latest\nDeleted: {new.id}\n", "")
    code, out, err = image("rm", "nowhere", other.id.hex[:8], old.id.hex)
    assert (code, out) == (1, f"Untagged: ghcr.io/me/app:2\nDeleted: {other.id}\nDeleted: {old.id}\n")
    assert err.startswith("no image 'nowhere' is here")
    assert images.list() == ()


# Usage


@pytest.mark.parametrize(
    "arguments", [[], ["no-such-verb"], ["ls", "--no-such-option"], ["inspect"], ["rm"], ["tag", "a"], ["ls", "a", "b"]]
)
def test_wrong_usage(image, arguments):
    code, out, err = image(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: edge.pyz image")


@pytest.mark.parametrize("verb", [[], ["from-host"], ["ls"], ["inspect"], ["tag"], ["rm"]])
def test_help(image, verb):
    code, out, err = image(*verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(" ".join(["usage: edge.pyz image", *verb]))


# Words


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1234, "1.23kB"), (13_654_692, "13.7MB"), (999_999, "1MB"),
     (123_456_789, "123MB"), (5 * 10**9, "5GB")],
)  # fmt: skip
def test_sizes(size, expected):
    assert show.human_size(size) == expected


NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        pytest.param("", "N/A", id="unknown"),
        pytest.param("yesterday", "N/A", id="no-time"),
        pytest.param("2026-13-01T00:00:00Z", "N/A", id="no-month"),
        pytest.param("2026-01-31T12:00:00Z", "Less than a second ago", id="now"),
        pytest.param("2026-01-31T11:59:59Z", "1 second ago", id="second"),
        pytest.param("2026-01-31T11:59:00.123456789Z", "60 seconds ago", id="seconds"),
        pytest.param("2026-01-31T11:58:00Z", "2 minutes ago", id="minutes"),
        pytest.param("2026-01-31T12:00:00+02:00", "2 hours ago", id="zone"),
        pytest.param("2026-01-29T12:00:00Z", "2 days ago", id="days"),
        pytest.param("2026-01-10T12:00:00Z", "3 weeks ago", id="weeks"),
        pytest.param("2025-10-31T12:00:00Z", "3 months ago", id="months"),
        pytest.param("1970-01-01T00:00:00Z", "56 years ago", id="years"),
    ],
)
def test_ages(created, expected):
    assert show.ago(created, NOW) == expected


@pytest.mark.parametrize("name", ["layout", "command"])
def test_readme_is_there(name):
    plugin = {"layout": layout_plugin, "command": command_plugin}[name]
    assert Path(plugin.__file__).with_name("README.md").read_text().startswith("# ")
