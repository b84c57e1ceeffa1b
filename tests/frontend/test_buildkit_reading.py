"""Files of results and configs of images, as a client's part of a build asks for them over /grpc."""

import json
import os
import stat
from contextlib import contextmanager

import pytest
from descriptors import closed_again, descriptors
from frontend.fake_builder import FakeBuilder
from frontend.test_buildkit_calls import BRIDGE, calling, of, solving, upgraded
from moby_frontend.docker.buildkit import reading
from moby_frontend.docker.buildkit.graphs import graph
from moby_frontend.docker.buildkit.grpc import Code, Fault
from moby_frontend.docker.buildkit.protocol.common import Empty, PbPlatform
from moby_frontend.docker.buildkit.protocol.control import Policy, Rule
from moby_frontend.docker.buildkit.protocol.gateway import (
    FileData,
    FileRange,
    GatewaySolve,
    GatewaySolved,
    ImageConfigRequest,
    ImageConfigResponse,
    Pong,
    ReadDirRequest,
    ReadDirResponse,
    ReadFileRequest,
    StatFileRequest,
    StatFileResponse,
)
from moby_frontend.docker.modes import mode_of

from moby.contracts.images import Image, ImageConfig
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import Invalid, NotFound
from moby.oci.reference import parse

SECRET = "of the host"
TIME_NS = 1_000_000_000_123_456_789
ID, PINNED = Digest("sha256", "a" * 64), Digest("sha256", "b" * 64)


@pytest.fixture
def root(tmp_path):
    """A root, with a file beside it that nobody may see."""
    (tmp_path / "secret").write_text(SECRET)
    root = tmp_path / "root"
    for name in ("d/e", "empty", "x" * 200):
        (root / name).mkdir(parents=True)
    (root / "a").write_text("0123456789")
    (root / "a").chmod(0o4640)
    (root / "d/b.txt").write_text("inside")
    (root / "d/e/c.md").write_text("deep")
    (root / "secret").write_text("of the root")
    os.link(root / "a", root / "again")
    os.mkfifo(root / "pipe")
    links = {
        "to-a": "/a", "up": "../../../../secret", "host": str(tmp_path / "secret"), "to-d": "d", "loop": "loop",
        "dangling": "/nowhere", "magic": "/proc/self/root", "out/of": "../..",
    }  # fmt: skip
    (root / "out").mkdir()
    for name, target in links.items():
        (root / name).symlink_to(target)
    os.utime(root / "a", ns=(TIME_NS, TIME_NS))
    return root


class TestFiles:
    @pytest.mark.parametrize(
        ("path", "part", "found"),
        [
            ("a", None, b"0123456789"),
            ("/a", FileRange(0, 4), b"0123"),
            ("//d/../a", FileRange(8, 100), b"89"),
            ("a", FileRange(10, 5), b""),
            ("a", FileRange(1 << 62, 1 << 62), b""),
            ("a", FileRange(3), b""),
            ("to-a", FileRange(2, 3), b"234"),
            ("to-d/b.txt", None, b"inside"),
            ("up", None, b"of the root"),
            ("../../../secret", None, b"of the root"),
            ("out/of/../secret", None, b"of the root"),
            ("/d/e/../../../../a", FileRange(9, 1), b"9"),
        ],
    )
    def test_what_is_in_them(self, root, path, part, found):
        assert reading.read(root, path, part) == found

    @pytest.mark.parametrize(
        ("path", "part", "error", "words"),
        [
            ("nothing", None, NotFound, "^open nothing: no such file or directory$"),
            ("a/b", None, NotFound, "^open a/b: not a directory$"),
            ("dangling", None, NotFound, "^open dangling: no such file or directory$"),
            ("host", None, NotFound, "^open host: no such file or directory$"),
            ("magic/etc/passwd", None, NotFound, "no such file or directory"),
            ("loop", None, NotFound, "^open loop: too many levels of symbolic links$"),
            ("x" * 300, None, NotFound, "file name too long"),
            ("d/" * 5000, None, NotFound, "file name too long"),
            ("d", None, Invalid, "^d is not a regular file$"),
            ("", None, Invalid, "^ is not a regular file$"),
            ("pipe", None, Invalid, "^pipe is not a regular file$"),
            ("a\0b", None, Invalid, "invalid argument"),
            ("a", FileRange(-1, 2), Invalid, "the range -1.2 can't be"),
            ("a", FileRange(1, -2), Invalid, "the range 1.-2 can't be"),
        ],
    )
    def test_what_can_not_be_read(self, root, path, part, error, words):
        with pytest.raises(error, match=words):
            reading.read(root, path, part)

    def test_a_large_one_is_read_by_ranges(self, root):
        with (root / "large").open("wb") as file:
            file.truncate(100 << 20)
            file.seek(50 << 20)
            file.write(b"middle")
        with pytest.raises(Invalid, match=r"104857600 bytes are too many for one answer; ask for ranges of \d+"):
            reading.read(root, "large")
        with pytest.raises(Invalid, match="too many for one answer"):
            reading.read(root, "large", FileRange(0, 1 << 62))
        assert reading.read(root, "large", FileRange(50 << 20, 6)) == b"middle"
        assert len(reading.read(root, "large", FileRange(1, 16_000_000))) == 16_000_000

    def test_a_device_is_never_opened(self, root):
        os.mknod(root / "full", stat.S_IFCHR | 0o666, os.makedev(1, 7))
        with pytest.raises(Invalid, match="full is not a regular file"):
            reading.read(root, "full")
        found = reading.described(root, "full")
        assert (found.major, found.minor, stat.S_ISCHR(mode_of(found.mode))) == (1, 7, True)


class TestWhatIsThere:
    def test_a_file(self, root):
        os.chown(root / "a", 7, 8)
        (root / "a").chmod(0o4640)
        os.setxattr(root / "a", "user.x", b"y")
        found = reading.described(root, "to-a")
        assert (found.path, mode_of(found.mode), found.size) == ("a", stat.S_IFREG | 0o4640, 10)
        assert (found.uid, found.gid, found.time_ns, found.link) == (7, 8, TIME_NS, "")
        assert found.xattrs["user.x"] == b"y"

    @pytest.mark.parametrize(
        ("path", "name"),
        [("/", "/"), ("", "/"), ("out/of", "/"), ("../..", "/"), ("to-d", "d"), ("d/e/", "e"), ("d/e/..", "d")],
    )
    def test_a_folder(self, root, path, name):
        found = reading.described(root, path)
        assert (found.path, stat.S_ISDIR(mode_of(found.mode)), found.size) == (name, True, 0)

    @pytest.mark.parametrize("path", ["nothing", "dangling", "host", "a/b"])
    def test_nothing(self, root, path):
        with pytest.raises(NotFound, match=f"^lstat {path}: (no such file or|not a) directory$"):
            reading.described(root, path)


class TestFolders:
    def test_all_of_one(self, root):
        found = {each.path: each for each in reading.listed(root, "/")}
        assert list(found) == sorted(each.name for each in root.iterdir())
        assert (found["up"].link, stat.S_ISLNK(mode_of(found["up"].mode))) == ("../../../../secret", True)
        assert (found["a"].link, found["again"].link) == ("", "a")
        assert stat.S_ISFIFO(mode_of(found["pipe"].mode))
        assert reading.listed(root, "empty") == []

    @pytest.mark.parametrize(
        ("path", "pattern", "names"),
        [
            ("d", "", ["b.txt", "e"]),
            ("to-d", "*.txt", ["b.txt"]),
            ("/", "[ad]", ["a", "d"]),
            ("/", "d/*.txt", ["d"]),
            ("/", "**/*.md", ["d"]),
            ("/", "**/nothing", []),
            ("/", "to-d/*", []),
            ("/", "!a", []),
            ("../d/..", "a*", ["a", "again"]),
        ],
    )
    def test_some_of_one(self, root, path, pattern, names):
        assert [each.path for each in reading.listed(root, path, pattern)] == names

    @pytest.mark.parametrize(
        ("path", "pattern", "error", "words"),
        [
            ("nothing", "", NotFound, "^open nothing: no such file or directory$"),
            ("a", "", NotFound, "^open a: not a directory$"),
            ("host", "", NotFound, "no such file or directory"),
            ("/", "[", Invalid, "syntax error in pattern"),
            ("/", "!", Invalid, "illegal exclusion pattern"),
            ("a\0", "", Invalid, "invalid argument"),
        ],
    )
    def test_what_can_not_be_listed(self, root, path, pattern, error, words):
        with pytest.raises(error, match=words):
            reading.listed(root, path, pattern)

    def test_more_than_fits(self, root, monkeypatch):
        monkeypatch.setattr(reading, "_MOST_BYTES", 300)
        with pytest.raises(Invalid, match="readdir /: there is more than fits into one answer; ask by patterns"):
            reading.listed(root, "/")
        assert len(reading.listed(root, "/", "a*")) == 2

    def test_names_that_are_no_text(self, root):
        odd = root / os.fsdecode(b"\xff\xfe")
        odd.write_text("odd")
        assert os.fsdecode(b"\xff\xfe") in [each.path for each in reading.listed(root, "/")]
        assert reading.read(root, odd.name) == b"odd"

    def test_what_lies_deep(self, root):
        """Deeper than a path may be long: what is beyond isn't looked at, and nothing is left open."""
        fd = os.open(root, os.O_RDONLY)
        for _ in range(40):
            os.mkdir("y" * 200, dir_fd=fd)
            inner = os.open("y" * 200, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(fd)
        before = descriptors()
        assert reading.listed(root, "/", "**/nothing") == []
        closed_again(before)


# Over the wire ------------------------------------------------------------------------------------------------------


@pytest.fixture
def builder(root):
    made = FakeBuilder()
    made.roots["ref"] = root
    config = {"architecture": "arm64", "config": {"Cmd": ["sh"]}, "other": 1}
    image = Image(
        ID, PINNED, (), ImageConfig(), Platform("linux", "arm64"), (), 1, raw_config=config,
        digests=(ImageReference("docker.io", "other/box", digest=ID),
                 ImageReference("docker.io", "library/box", digest=PINNED)),
    )  # fmt: skip
    made.images["docker.io/library/box:latest", "linux/arm64", False] = image
    made.images["docker.io/library/box:latest", str(Platform.host()), True] = image
    made.images["example.org/own:1", str(Platform.host()), False] = image
    made.images[f"docker.io/library/box@{ID}", str(Platform.host()), False] = image
    return made


@contextmanager
def looked(serve, builder):
    """Lend what asks for something in a build, which has a session."""
    served = serve(builder=builder)
    sock, _ = upgraded(served, "/session", **{"X-Docker-Expose-Session-Uuid": "s"})
    with sock, calling(served) as caller, solving(served, caller, session="s"):
        yield lambda method, asked, answer: caller.ask(f"{BRIDGE}{method}", asked, answer, of("one"))


@pytest.fixture
def bridge(serve, builder):
    """What asks for something in a build, until the end of the test."""
    with looked(serve, builder) as bridge:
        yield bridge


@pytest.fixture
def ref(bridge):
    """The id of a result, which another build was solved to."""
    asked = GatewaySolve(definition=graph("ref", Platform.host()))
    return bridge("Solve", asked, GatewaySolved).result.ref.id


class TestBridge:
    def test_what_it_says_that_it_can(self, bridge):
        found = {each.id for each in bridge("Ping", Empty(), Pong).capabilities}
        assert {"readfile", "readdir", "statfile", "resolveimage", "resolveimage.resolvemode"} <= found

    def test_files(self, bridge, ref):
        asked = ReadFileRequest(ref, "to-a", FileRange(1, 3))
        assert bridge("ReadFile", asked, FileData) == FileData(b"123")
        assert bridge("ReadFile", ReadFileRequest(ref, "a"), FileData).data == b"0123456789"
        found = bridge("ReadDir", ReadDirRequest(ref, "to-d", "*.txt"), ReadDirResponse)
        assert [(each.path, each.size) for each in found.entries] == [("b.txt", 6)]
        assert bridge("StatFile", StatFileRequest(ref, "d/e"), StatFileResponse).stat.path == "e"

    def test_a_large_file(self, bridge, ref, root):
        (root / "large").write_bytes(os.urandom(1000) * 16_000)
        assert bridge("ReadFile", ReadFileRequest(ref, "large"), FileData).data == (root / "large").read_bytes()

    @pytest.mark.parametrize(
        ("method", "asked"),
        [("ReadFile", ReadFileRequest), ("ReadDir", ReadDirRequest), ("StatFile", StatFileRequest)],
    )
    def test_what_is_not_there(self, bridge, builder, ref, method, asked):
        with pytest.raises(Fault, match="no such ref: x"):
            bridge(method, asked("x", "a"), Empty)
        with pytest.raises(Fault, match=r"no such ref: $"):
            bridge(method, asked("", "a"), Empty)
        with pytest.raises(Fault, match="host: no such file or directory") as caught:
            bridge(method, asked(ref, "host"), Empty)
        assert caught.value.code == Code.UNKNOWN
        builder.roots.clear()
        with pytest.raises(Fault, match="the result ref isn't kept any more"):
            bridge(method, asked(ref, "a"), Empty)

    def test_configs_of_images(self, bridge):
        asked = ImageConfigRequest("box", PbPlatform("aarch64", "linux", "v8"), "default")
        found = bridge("ResolveImageConfig", asked, ImageConfigResponse)
        assert (found.digest, found.reference) == (str(PINNED), "docker.io/library/box:latest")
        assert json.loads(found.config) == {"architecture": "arm64", "config": {"Cmd": ["sh"]}, "other": 1}

    @pytest.mark.parametrize(
        ("asked", "digest"),
        [
            (ImageConfigRequest("box", mode="pull"), PINNED),
            (ImageConfigRequest(f"box@{ID}"), ID),
            (ImageConfigRequest("example.org/own:1", PbPlatform(), "local"), ""),
        ],
    )
    def test_digests_of_images(self, bridge, asked, digest):
        found = bridge("ResolveImageConfig", asked, ImageConfigResponse)
        assert (found.digest, found.reference) == (str(digest), str(parse(asked.reference)))

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            (ImageConfigRequest("box", mode="x"), "invalid resolvemode: x"),
            (ImageConfigRequest("BOX"), "must be lower case"),
            (ImageConfigRequest(""), "image reference"),
            (ImageConfigRequest("box", PbPlatform("a/b/c", "d")), "failed to parse target platform d/a/b/c"),
            (ImageConfigRequest("box", mode="local"), "docker.io/library/box:latest: not found"),
            (ImageConfigRequest("box", resolver=1), "not of OCI layouts"),
            (ImageConfigRequest("box", policies=[Policy([Rule()])]), "policies of sources are not followed here"),
        ],
    )
    def test_configs_that_can_not_be_had(self, bridge, asked, words):
        with pytest.raises(Fault, match=words):
            bridge("ResolveImageConfig", asked, ImageConfigResponse)

    def test_a_look_before_the_first_solve_leaves_the_names_of_folders_to_it(self, serve, builder):
        with looked(serve, builder) as bridge:
            bridge("ResolveImageConfig", ImageConfigRequest("example.org/own:1"), ImageConfigResponse)
            assert len(builder.sessions) == 1
            options = {"contextkey": "kept", "requestid": "frontend.outline"}
            bridge("Solve", GatewaySolve(frontend="dockerfile.v0", options=options), GatewaySolved)
            assert [each._names for each in builder.sessions] == [{}, {"context": "kept"}]
            bridge("ResolveImageConfig", ImageConfigRequest("example.org/own:1"), ImageConfigResponse)
        assert all(each.closed.wait(60) for each in builder.builds)
        assert len(builder.builds) == 2

    def test_a_build_without_a_session(self, serve, builder, monkeypatch):
        monkeypatch.setattr("moby_frontend.docker.buildkit.jobs._SESSION_S", 0.01)
        served = serve(builder=builder)
        with (
            calling(served) as caller,
            solving(served, caller, session="none"),
            pytest.raises(Fault, match="no active session for none"),
        ):
            caller.ask(f"{BRIDGE}ResolveImageConfig", ImageConfigRequest("box"), Empty, of("one"))
