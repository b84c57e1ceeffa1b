"""What a user can get wrong: manifests, flags, and files of an engine that somebody damaged."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_engine import Engine, call
from fault_traces import listing

pytestmark = pytest.mark.slow  # for their number
Run = Callable[..., Any]
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
BASE = "moby: 1\nextends: [quickstart]\n"
MANIFESTS = [
    pytest.param("moby: 1\nname: [\n", "m.yaml:3:1: no valid YAML", id="broken"),
    pytest.param("\tmoby: 1", "indent with spaces", id="tab"),
    pytest.param("", "m.yaml:1:1: empty", id="empty"),
    pytest.param("[" * 100_000, "nested more than 50 deep", id="nested"),
    pytest.param("moby: 1\n" + BOMB, "aliases counted each time", id="bomb"),
    pytest.param("moby: 1\nname: &a {b: *a}\n", "inside its own anchor", id="circular-anchor"),
    pytest.param("moby: 1\nname: *b\n", "no anchor 'b' before this alias", id="unknown-anchor"),
    pytest.param("moby: 1\n<<: {a: 1}\n", "merge keys (<<) aren't part of manifests", id="merge-key"),
    pytest.param("moby: 1\nname: !!python/object/apply:os.system [id]\n", "a YAML tag", id="tag"),
    pytest.param("moby: 1\nmoby: 1\n", "key 'moby' again", id="key-twice"),
    pytest.param("moby: 1\nname: no\n", "quote it", id="ambiguous"),
    pytest.param("moby: 2\n", "fix: install a newer moby-framework", id="newer-schema"),
    pytest.param(BASE + "componets: {}\n", "unknown key 'componets'", id="unknown-key"),
    pytest.param(BASE + "components: {runtim: native}\n", "no kind 'runtim'", id="unknown-kind"),
    pytest.param(BASE + "components: {runtime: nativ}\n", "did you mean native?", id="unknown-component"),
    pytest.param(BASE + "components: {runtime: {use: native, cfg: 1}}\n", "unknown key 'cfg'", id="unknown-part-key"),
    pytest.param(BASE + "components: {images: {config: {max: 1}}}\n", "max", id="unknown-option"),
    pytest.param(BASE + "name: '${nobody}'\n", "nobody", id="unknown-parameter"),
    pytest.param(BASE + "distribution: {formats: [pzy]}\n", "no packager 'pzy' is installed", id="unknown-format"),
    pytest.param(
        BASE + "components: {images: {config: {max_unpacked_bytes: many}}}\n", "expected a whole number", id="type"
    ),
    pytest.param(
        BASE + "components: {images: {config: {max_unpacked_bytes: [1]}}}\n", "expected a whole number", id="list"
    ),
    pytest.param(BASE + "components: {images: {version: '>=99'}}\n", ">=99", id="unsatisfiable"),
    pytest.param(BASE + "components: {images: null}\n", "images", id="removed-and-needed"),
    pytest.param(BASE + "components: {builder: null}\n", "builder", id="nothing-to-remove"),
    pytest.param(BASE + "name: ../x\n", "name '../x' must be lower-case letters", id="name-that-leaves"),
    pytest.param(BASE + "name: /x\n", "name '/x' must be", id="absolute-name"),
    pytest.param(BASE + 'name: "a\\nb"\n', r"name 'a\nb' must be", id="name-with-a-line-break"),
    pytest.param(BASE + 'name: "a\\x1b[2J"\n', r"'a\x1b[2J'", id="name-with-an-escape"),
    pytest.param(BASE + "components: {images: {use: layout, as: ../x}}\n", "'../x' can't be a part's", id="as-leaves"),
    pytest.param(BASE + "components: {images: {use: ../x}}\n", "'../x'", id="use-leaves"),
    pytest.param(BASE + "components: {../x: layout}\n", "'../x' can't be a kind", id="kind-leaves"),
    pytest.param(BASE + "distribution: {formats: [../x]}\n", "'../x'", id="format-leaves"),
    pytest.param(BASE + "distribution: {target: ../none.json}\n", "no facts file at", id="no-target"),
    pytest.param("moby: 1\nextends: [m.yaml]\n", "extends goes round in a circle: ", id="extends-itself"),
    pytest.param("moby: 1\nextends: [none.yaml]\n", "can't read none.yaml: No such file", id="extends-nothing"),
    pytest.param("moby: 1\nextends: [.]\n", "Is a directory", id="extends-a-folder"),
    pytest.param("moby: 1\nextends: [/dev/zero]\n", "larger than 1 MiB", id="extends-a-device"),
    pytest.param("moby: 1\nextends: [quickstar]\n", "'quickstar'", id="extends-unknown"),
    pytest.param("moby: 1\nextends: ['http://x/y']\n", "http:// isn't supported", id="extends-a-url"),
    pytest.param('moby: 1\nextends: ["a\\0b"]\n', "NUL", id="extends-nul"),
]


BY_TURNS = [
    pytest.param(*each.values, verb, id=f"{each.id}-{verb}", marks=[pytest.mark.long] * ((count + turn) % 2))
    for count, each in enumerate(MANIFESTS)
    for turn, verb in enumerate(("check", "assemble"))
]
"""Both verbs read a manifest alike: every manifest by one, and all by both in `long` tests."""


@pytest.mark.parametrize(("text", "message", "verb"), BY_TURNS)
def test_manifests(moby: Run, folder: Path, text: str, message: str, verb: str) -> None:
    (folder / "here/m.yaml").write_text(text)
    done = moby(verb, "m.yaml", code=1)
    assert message in done.stderr
    assert "\x1b" not in done.stderr
    assert done.stdout == ""


def test_extends_in_a_circle(moby: Run, folder: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (folder / f"here/{name}.yaml").write_text(f"moby: 1\nextends: [{other}.yaml]\n")
    assert "circle: a.yaml -> b.yaml -> c.yaml -> a.yaml" in moby("check", "a.yaml", code=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--set", "parameters.x=1"], "unknown parameter 'x'", id="parameter"),
        pytest.param(["--set", "foo.bar=1"], "begins with none of components", id="key"),
        pytest.param(["--set", "name=../x"], "name '../x' must be", id="name"),
        pytest.param(["--set", "components.runtime=[" + "[" * 1000], "", id="broken-value"),
        pytest.param(["--set", "components.runtime=nobody"], "no runtime 'nobody'", id="component"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "assemble", "lock", "explain"])
def test_flags(moby: Run, verb: str, arguments: list[str], message: str) -> None:
    done = moby(verb, "quickstart", *arguments, code=1)
    assert message in done.stderr
    assert "--set" in done.stderr


@pytest.mark.parametrize(
    ("out", "message"),
    [
        pytest.param("/proc/x", "can't make the folder /proc/x", id="where-none-can-be"),
        pytest.param("/dev/null/x", "Not a directory", id="below-a-file"),
        pytest.param("x" * 300, "File name too long", id="long"),
        pytest.param("/sys/x", "can't", id="read-only"),
    ],
)
def test_out(moby: Run, out: str, message: str) -> None:
    done = moby("assemble", "quickstart", "-o", out, code=3)
    assert message in done.stderr
    assert "name another folder with -o DIR" in done.stderr


def test_out_stays_where_it_was_told_to(moby: Run, folder: Path) -> None:
    """Up and down is the user's own choice of a folder; what is made is in NAME/ there, and nowhere else."""
    before = listing(folder)
    moby("assemble", "quickstart", "-o", "../other/./there")
    made = {each.split("/")[0] for each in listing(folder)} - {each.split("/")[0] for each in before}
    assert made <= {"other", "cache", "tmp"}
    assert sorted(each.name for each in (folder / "other/there").iterdir()) == ["quickstart"]


@pytest.mark.parametrize(
    ("root", "code", "message"),
    [
        pytest.param("", 2, "--root is empty; name a folder", id="empty"),
        pytest.param("/dev/null/x", 3, "name a folder that you may write with --root DIR", id="below-a-file"),
        pytest.param("/proc/x", 3, "name a folder that you may write with --root DIR", id="where-none-can-be"),
        pytest.param("x" * 300, 3, "File name too long", id="long"),
    ],
)
def test_root(engine: Engine, root: str, code: int, message: str) -> None:
    done = call([sys.executable, str(engine.pyz), "--root", root, "image", "ls"], cwd=engine.folder)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        pytest.param(["from-host", "--tag", "../x", "sh"], 1, "image reference '../x'", id="tag"),
        pytest.param(["from-host", "--tag", "a\nb", "sh"], 1, r"a\nb", id="line-break"),
        pytest.param(["from-host", "no-such-program"], 1, "no program 'no-such-program'", id="program"),
        pytest.param(["from-host", "/etc/passwd"], 1, "neither an ELF program nor a script", id="no-program"),
        pytest.param(["from-host", "--add", "/no/such/file"], 3, "No such file", id="file"),
        pytest.param(["from-host", "--add", "/etc/passwd:/../x"], 1, "is no place in an image", id="leaves"),
        pytest.param(["rm", "../x"], 1, "no image '../x' is here", id="remove"),
        pytest.param(["inspect", "sha256:"], 1, "no image", id="no-digest"),
    ],
)
def test_images(engine: Engine, arguments: list[str], code: int, message: str) -> None:
    assert message in engine("image", *arguments, code=code).stderr
    engine.check_clean()


def blobs(engine: Engine) -> list[Path]:
    return sorted((engine.root / "state/images/layout/layout/blobs/sha256").iterdir())


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def made_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("damage", [Path.unlink, emptied, flipped, made_a_folder, made_a_link])
def test_an_image_whose_files_are_damaged(stocked: Engine, damage: Callable[[Path], None], which: int) -> None:
    damage(blobs(stocked)[which])
    done = stocked("run", "demo", "echo", "x", code=125)
    assert "sha256:" in done.stderr
    assert "fix: " in done.stderr
    assert done.stdout == ""
    stocked.check_clean()
    stocked("image", "rm", "demo")
    stocked("image", "from-host", "--tag", "demo", "sh")
    assert stocked("run", "demo", "sh", "-c", "echo again").stdout == "again\n"


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"schemaVersion": 2, "manifests": 1}'])
def test_an_index_that_is_damaged(stocked: Engine, text: bytes) -> None:
    (stocked.root / "state/images/layout/layout/index.json").write_bytes(text)
    for arguments, code in ((["run", "demo"], 125), (["image", "ls"], 3), (["image", "from-host", "sh"], 3)):
        done = stocked(*arguments, code=code)
        assert "index.json is damaged" in done.stderr
        assert "fix: remove" in done.stderr
    stocked.check_clean()


@pytest.mark.parametrize("text", [b"", b"2", b"-1", b"x", b"\xff", b"1" * 5000])
def test_a_state_of_another_format(stocked: Engine, text: bytes) -> None:
    (stocked.root / "state/format").write_bytes(text)
    done = stocked("image", "ls", code=1)
    assert "was written in format" in done.stderr
    assert "fix: start it with the newer engine" in done.stderr
    (stocked.root / "state/format").write_text("1\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"[images", "can't be read as TOML", id="syntax"),
        pytest.param(b"\xff", "can't be read as TOML", id="bytes"),
        pytest.param(b"[images.layout]\nmax_unpacked_bytes = 1\n", "is not open", id="closed"),
        pytest.param(b"[a.b]\n", "no part [a.b] with open options", id="unknown"),
        pytest.param(b"a = " + b"[" * 10_000, "can't be read as TOML", id="nested"),
    ],
)
def test_a_configuration(engine: Engine, text: bytes, message: str) -> None:
    file = engine.folder / "engine.toml"
    file.write_bytes(text)
    command = engine.command("image", "ls")
    done = call([*command[:4], "--config", str(file), *command[4:]], env=engine.env)
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
