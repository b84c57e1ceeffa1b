"""The conformance suite of the kind `builder`; `moby.testing.builder_mutants` holds what it must fail."""

import io
import os
import secrets
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from moby.contracts.builder import (
    Builder,
    BuildFailed,
    Export,
    ExportType,
    Keep,
    Log,
    Range,
    Request,
    Result,
    Target,
    Vertex,
)  # fmt: skip
from moby.contracts.images import Image, Images
from moby.contracts.types import Platform
from moby.errors import Invalid, MobyError, NotFound, Unavailable
from moby.oci.reference import parse
from moby.testing.boxes import PATIENCE_S
from moby.testing.lending import Building, Lending, Mixing

__all__ = ["WRONG", "BuilderSuite", "Workshop"]

Files = Mapping[str, str]
BASE = "FROM box\n"
_RANDOM = "RUN cat /proc/sys/kernel/random/uuid > /made\n"


WRONG = (
    ("NONSENSE x\n", "(?i)nonsense", 2),
    ("COPY nothing /\n", "nothing", 2),
    ("COPY --nonsense=1 a /\n", "nonsense", 2),
    ("COPY --from=nowhere/at-all:1 a /\n", "nowhere/at-all", 2),
)
"""What comes after a FROM and is wrong, what an error says of it, and its line."""


@frozen
class Workshop:
    """What a subclass brings: the part under test, entered, and the images of its engine, with one that is `box`.

    It has a shell, cat, ls, sleep, and `ann` (1000) in /etc/passwd; the environment `PATH=/bin`, the command `sh`.
    """

    builder: Builder
    images: Images
    folder: Path
    """Where tests may write."""


def _written(folder: Path, files: Files) -> Path:
    """Return a new folder with files, whose times are always the same."""
    context = Path(tempfile.mkdtemp(dir=folder))
    for name, text in files.items():
        path = context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in (*context.rglob("*"), context):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return context


class BuilderSuite:
    """What every builder must do. A subclass brings the fixture `workshop`."""

    @pytest.fixture
    def workshop(self) -> Iterator[Workshop]:
        """Return what is tested."""
        raise NotImplementedError

    # What is built

    def test_an_image(self, workshop: Workshop) -> None:
        """It has what was copied and what was run, on top of what it is made from."""
        image = built(workshop, BASE + "COPY a /d/\nRUN cat /d/a > /b\n", {"a": "one\n"})
        assert files(workshop, image, "d/a", "b", "etc/passwd")[:2] == ["one\n", "one\n"]
        base = workshop.images.get("box")
        assert image.layers[: len(base.layers)] == base.layers
        assert len(image.layers) > len(base.layers)

    def test_its_names(self, workshop: Workshop) -> None:
        """All that were asked for; the id is what was told."""
        with building(workshop, BASE + "ENV A=b\n") as at:
            result = at.build.solve(Request())
            [told] = at.build.export(result, [Export(ExportType.IMAGE, names=("first:1", "me/second"))])
        found = [workshop.images.get(each) for each in ("first:1", "me/second:latest")]
        assert [each.id for each in found] == [told.image, told.image]
        assert sorted(told.names) == ["docker.io/library/first:1", "docker.io/me/second:latest"]

    def test_its_config(self, workshop: Workshop) -> None:
        """What each instruction says of how it is to be run, and what the base image said where none does."""
        image = built(
            workshop,
            BASE + 'ENV A=b C="d e"\nLABEL one="two three"\nUSER ann\nWORKDIR /w\nWORKDIR x\nEXPOSE 80 53/udp\n'
            'VOLUME ["/v"]\nSTOPSIGNAL SIGINT\nENTRYPOINT ["/bin/sh", "-c"]\nCMD ["echo hi"]\n'
            "HEALTHCHECK --interval=5s --retries=2 CMD cat /x\n",
        )
        config = image.config
        assert config.environment == ("PATH=/bin", "A=b", "C=d e")
        assert (config.user, config.working_directory, config.stop_signal) == ("ann", "/w/x", "SIGINT")
        assert (config.entrypoint, config.command) == (("/bin/sh", "-c"), ("echo hi",))
        assert (config.exposed_ports, config.volumes) == (("53/udp", "80/tcp"), ("/v",))
        assert config.labels["one"] == "two three"
        assert config.healthcheck["Test"] == ["CMD-SHELL", "cat /x"]
        assert (config.healthcheck["Interval"], config.healthcheck["Retries"]) == (5_000_000_000, 2)

    def test_an_entry_point_takes_the_command_of_the_base_away(self, workshop: Workshop) -> None:
        """As docker does it."""
        assert built(workshop, BASE + 'ENTRYPOINT ["/x"]\n').config.command == ()
        assert built(workshop, BASE + "ENV A=b\n").config.command == ("sh",)

    def test_its_history(self, workshop: Workshop) -> None:
        """Has each step, and says which have no layer."""
        image = built(workshop, BASE + "ENV A=b\nRUN cat /etc/passwd > /a\n")
        history = image.raw_config["history"]
        assert len([each for each in history if not each.get("empty_layer")]) == len(image.layers)
        assert "/etc/passwd" in history[-1]["created_by"]

    def test_nothing_to_begin_with(self, workshop: Workshop) -> None:
        """`scratch` is an empty root."""
        image = built(workshop, "FROM scratch\nCOPY a /\n", {"a": "one"})
        with workshop.images.rootfs(image) as root:
            assert [each.name for each in root.iterdir()] == ["a"]

    def test_stages(self, workshop: Workshop) -> None:
        """One's files in another, by name and by number; the rest of it is not in the image."""
        text = (
            BASE.rstrip()
            + " AS one\nRUN cat /etc/passwd > /a\nFROM scratch\nCOPY --from=one /a /x\nCOPY --from=0 /a /y\n"
        )
        with workshop.images.rootfs(built(workshop, text)) as root:
            assert sorted(each.name for each in root.iterdir()) == ["x", "y"]
            assert (root / "x").read_text() == (root / "y").read_text() != ""

    def test_a_target(self, workshop: Workshop) -> None:
        """The stage that was asked for, and none that it doesn't need."""
        text = "FROM scratch AS one\nCOPY a /\nFROM box AS two\nRUN cat /nothing\n"
        with workshop.images.rootfs(built(workshop, text, {"a": ""}, Request(target="one"))) as root:
            assert [each.name for each in root.iterdir()] == ["a"]

    def test_arguments(self, workshop: Workshop) -> None:
        """Those that were given, else the defaults; they are seen by RUN and aren't in the image's environment."""
        text = BASE + "ARG A=one\nARG B=two\nRUN echo $A $B > /a\nENV C=$A\n"
        image = built(workshop, text, request=Request(arguments={"A": "given"}))
        assert files(workshop, image, "a") == ["given two\n"]
        assert image.config.environment == ("PATH=/bin", "C=given")

    def test_labels(self, workshop: Workshop) -> None:
        """Those that were asked for are the image's too."""
        image = built(workshop, BASE + "LABEL a=b\n", request=Request(labels={"c": "d"}))
        assert {key: image.config.labels[key] for key in "ac"} == {"a": "b", "c": "d"}

    def test_who_runs_and_where(self, workshop: Workshop) -> None:
        """USER and WORKDIR hold for RUN, and what it makes is theirs."""
        text = BASE + "WORKDIR /new\nUSER ann\nRUN cat /proc/self/status > /tmp/s; pwd > /tmp/w\n"
        image = built(workshop, text)
        status, folder = files(workshop, image, "tmp/s", "tmp/w")
        assert "Uid:\t1000" in status
        assert folder == "/new\n"

    def test_what_is_ignored(self, workshop: Workshop) -> None:
        """.dockerignore is heeded, exceptions too."""
        ignored = {".dockerignore": "*.log\n!kept.log\nd\n", "a": "", "x.log": "", "kept.log": "", "d/e": ""}
        with workshop.images.rootfs(built(workshop, "FROM scratch\nCOPY . /\n", ignored)) as root:
            assert {"a", "kept.log"} <= {each.name for each in root.iterdir()}
            assert not {"x.log", "d"} & {each.name for each in root.iterdir()}

    def test_another_file(self, workshop: Workshop) -> None:
        """The Dockerfile may be called otherwise."""
        given = {"sub/Other": BASE + "COPY a /\n", "a": "x"}
        image = built(workshop, "FROM nothing-there", given, Request(dockerfile="sub/Other"))
        assert files(workshop, image, "a") == ["x"]

    def test_a_secret(self, workshop: Workshop) -> None:
        """Is there for the step that asks for it, and nowhere afterwards."""
        text = BASE + "RUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null && echo read > /a\n"
        with building(workshop, text, secrets={"key": b"hush-hush"}) as at:
            image = exported(workshop, at, at.build.solve(Request()))
        assert files(workshop, image, "a") == ["read\n"]
        layers = b"".join(each.read() for each in workshop.images.export_layers(image))
        assert b"hush-hush" not in layers + str(image.raw_config).encode()
        with workshop.images.rootfs(image) as root:
            assert not (root / "run/secrets/key").exists()

    # The cache

    def test_what_was_built_is_not_built_again(self, workshop: Workshop) -> None:
        """The same file and the same context give the same image."""
        text = BASE + "COPY a /\n" + _RANDOM
        first, again = (built(workshop, text, {"a": "same"}) for _ in range(2))
        assert first.layers == again.layers

    def test_without_the_cache(self, workshop: Workshop) -> None:
        """Every step is done again."""
        first, again = (
            built(workshop, BASE + _RANDOM, request=Request(no_cache=each)) for each in (False, True)
        )  # fmt: skip
        assert files(workshop, first, "made") != files(workshop, again, "made")

    def test_what_changed_is_built_again(self, workshop: Workshop) -> None:
        """A file's content, and all that comes after it; what is before isn't."""
        text = BASE + _RANDOM + "COPY a /\nRUN cat /proc/sys/kernel/random/uuid > /later\n"
        first, second = (built(workshop, text, {"a": each}) for each in ("one", "two"))
        assert files(workshop, first, "made") == files(workshop, second, "made")
        assert files(workshop, first, "later") != files(workshop, second, "later")
        assert files(workshop, second, "a") == ["two"]

    def test_an_argument_that_changed(self, workshop: Workshop) -> None:
        """Makes RUN run again."""
        text = BASE + "ARG A\n" + _RANDOM
        first, second = (built(workshop, text, request=Request(arguments={"A": each})) for each in "12")
        assert files(workshop, first, "made") != files(workshop, second, "made")

    def test_a_cache_mount(self, workshop: Workshop) -> None:
        """Keeps what a step left in it for the next one, outside the image."""
        mount = "--mount=type=cache,target=/c,id=suite"
        text = BASE + f"RUN {mount} echo kept > /c/f\nRUN {mount} cat /c/f > /a\n"
        image = built(workshop, text)
        assert files(workshop, image, "a") == ["kept\n"]
        with workshop.images.rootfs(image) as root:
            assert not (root / "c/f").exists()

    def test_what_is_kept(self, workshop: Workshop) -> None:
        """It is listed with what it takes, and goes when it is asked to; what was built stays."""
        image = built(workshop, BASE + _RANDOM)
        found = workshop.builder.usage()
        assert found == tuple(sorted(found, key=lambda each: each.id))
        assert found
        gone = workshop.builder.prune(Keep(all=True))
        assert {each.id for each in gone.entries} <= {each.id for each in found}
        assert workshop.builder.usage() == ()
        assert files(workshop, image, "made") != files(workshop, built(workshop, BASE + _RANDOM), "made")

    def test_a_filter_that_nobody_knows(self, workshop: Workshop) -> None:
        """Invalid, and nothing goes."""
        built(workshop, BASE + _RANDOM)
        before = workshop.builder.usage()
        with pytest.raises(Invalid, match="nonsense"):
            workshop.builder.prune(Keep(filters={"nonsense": ("x",)}))
        assert workshop.builder.usage() == before

    # What goes wrong

    def test_a_step_that_fails(self, workshop: Workshop) -> None:
        """It is told with its exit code and its lines, and nothing gets the name."""
        with building(workshop, BASE + "ENV A=b\nRUN echo said && \\\n  exit 7\n") as at:
            with pytest.raises(BuildFailed, match="7") as caught:
                at.build.solve(Request())
            assert caught.value.code == 7
            assert caught.value.ranges == (Range(3, 4),)
            assert b"said" in output(at)

    @pytest.mark.parametrize(("text", "said", "line"), WRONG)
    def test_a_file_that_is_wrong(self, workshop: Workshop, text: str, said: str, line: int) -> None:
        """Says what, and on which line, before anything gets the name."""
        with building(workshop, BASE + text, {"a": ""}) as at, pytest.raises(MobyError, match=said) as caught:
            at.build.solve(Request())
        if isinstance(caught.value, BuildFailed) and caught.value.ranges:
            assert caught.value.ranges[0].first == line

    def test_no_file(self, workshop: Workshop) -> None:
        """Says its name."""
        with building(workshop, BASE) as at, pytest.raises(MobyError, match="Missing"):
            at.build.solve(Request(dockerfile="Missing"))

    def test_no_such_target(self, workshop: Workshop) -> None:
        """Says its name."""
        with building(workshop, BASE) as at, pytest.raises(MobyError, match="missing"):
            at.build.solve(Request(target="missing"))

    def test_no_such_image(self, workshop: Workshop) -> None:
        """Says its name."""
        with building(workshop, "FROM localhost:1/missing:1\n") as at, pytest.raises(MobyError, match="missing"):
            at.build.solve(Request())

    def test_a_secret_that_nobody_lends(self, workshop: Workshop) -> None:
        """Is an error where it is required."""
        text = BASE + "RUN --mount=type=secret,id=key,required=true cat /run/secrets/key\n"
        with building(workshop, text) as at, pytest.raises(MobyError, match="key"):
            at.build.solve(Request())

    def test_giving_up(self, workshop: Workshop) -> None:
        """What goes on fails at once, and again is fine."""
        with building(workshop, BASE + "RUN echo begun; sleep 600\n") as at:
            failed: list[BaseException] = []
            thread = threading.Thread(target=lambda: failed.extend(_failure(at)))
            thread.start()
            assert at.wait_for(lambda events: b"begun" in output(at), PATIENCE_S)
            at.build.cancel()
            at.build.cancel()
            thread.join(PATIENCE_S)
            assert [type(each) for each in failed] == [Unavailable]
            with pytest.raises(Unavailable):
                at.build.solve(Request())

    def test_closing(self, workshop: Workshop) -> None:
        """Ends what goes on; twice is fine, and the builder builds on."""
        with building(workshop, BASE + "RUN echo begun; sleep 600\n") as at:
            failed: list[BaseException] = []
            thread = threading.Thread(target=lambda: failed.extend(_failure(at)))
            thread.start()
            assert at.wait_for(lambda events: b"begun" in output(at), PATIENCE_S)
            at.build.close()
            thread.join(PATIENCE_S)
            assert [type(each) for each in failed] == [Unavailable]
            at.build.close()
        built(workshop, BASE + "ENV A=b\n")

    # Where it goes

    def test_a_folder(self, workshop: Workshop) -> None:
        """All files of the root, as they are."""
        with building(workshop, "FROM scratch\nCOPY . /\n", {"a": "one", "d/b": "two"}) as at:
            at.build.export(at.build.solve(Request()), [Export(ExportType.LOCAL, number=3)])
            tree = at.session.trees[3]
        assert (tree["a"], tree["d"], tree["d/b"]) == (b"one", None, b"two")

    def test_an_archive(self, workshop: Workshop) -> None:
        """The same as a tar."""
        with building(workshop, "FROM scratch\nCOPY a /d/\n", {"a": "one"}) as at:
            at.build.export(at.build.solve(Request()), [Export(ExportType.TAR, number=2)])
            data = at.session.received[2].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {each.name.strip("/"): each for each in tar.getmembers()}
            assert found["d/a"].isreg()
            assert found["d"].isdir()

    @pytest.mark.parametrize("kind", [ExportType.OCI, ExportType.DOCKER])
    def test_an_archive_of_an_image(self, workshop: Workshop, kind: ExportType) -> None:
        """Can be loaded, and is the same image then."""
        name = f"packed:{secrets.token_hex(8)}"
        with building(workshop, BASE + "COPY a /\n", {"a": "packed"}) as at:
            result = at.build.solve(Request())
            at.build.export(result, [Export(kind, number=1, names=(name,))])
            data = at.session.received[1].read()
        [image] = [each.image for each in workshop.images.load(io.BytesIO(data)) if each.image]
        assert files(workshop, image, "a") == ["packed"]
        assert workshop.images.get(name).id == image.id

    def test_several_at_once(self, workshop: Workshop) -> None:
        """Each in its order; a result may go more than once."""
        with building(workshop, "FROM scratch\nCOPY a /\n", {"a": ""}) as at:
            result = at.build.solve(Request())
            told = at.build.export(result, [Export(ExportType.TAR, number=1), Export(ExportType.IMAGE, names=("x:1",))])
            assert [each.image is not None for each in told] == [False, True]
            at.build.export(result, [Export(ExportType.LOCAL, number=2)])
            assert (len(at.session.received), len(at.session.trees)) == (1, 1)

    # What is looked at

    def test_its_files(self, workshop: Workshop) -> None:
        """They are lent before anything is exported, in another build too, and as often as one likes."""
        with building(workshop, "FROM scratch\nCOPY . /\n", {"a": "one", "d/b": "two"}) as at:
            [target] = at.build.solve(Request()).targets
            with at.build.files(target) as root, at.build.files(target) as again:
                assert ((root / "a").read_text(), (again / "d/b").read_text()) == ("one", "two")
        with building(workshop, BASE) as at:
            with at.build.files(target) as root:
                assert sorted(each.name for each in root.iterdir() if each.name in {"a", "d", "etc"}) == ["a", "d"]
            with pytest.raises(NotFound), at.build.files(Target(Platform.host(), "0" * 25)):
                pass

    def test_what_it_would_begin_with(self, workshop: Workshop) -> None:
        """The image of a name; where there is none, its name is said."""
        with building(workshop, BASE) as at:
            found = at.build.image(parse("box"), Platform.host())
            assert found.id == workshop.images.get("box").id
            assert found.raw_config["config"]["Cmd"] == ["sh"]
            with pytest.raises(MobyError, match="missing"):
                at.build.image(parse("localhost:1/missing:1"), Platform.host())

    # What is told

    def test_what_is_told(self, workshop: Workshop) -> None:
        """Each step as it begins and ends, and what it writes, from the stream that it writes to."""
        with building(workshop, BASE + "RUN echo out; echo err >&2\n") as at:
            at.build.solve(Request(no_cache=True))
            events = list(at.events)
        last = {each.digest: each for each in events if isinstance(each, Vertex)}
        assert last
        assert all(each.started_ns and each.completed_ns >= each.started_ns for each in last.values())
        [step] = [each for each in last.values() if "echo out" in each.name]
        logs = [each for each in events if isinstance(each, Log) and each.vertex == step.digest]
        assert b"out\n" in b"".join(each.data for each in logs)
        assert b"err\n" in b"".join(each.data for each in logs)

    def test_what_is_told_of_a_failure(self, workshop: Workshop) -> None:
        """The step says it."""
        with building(workshop, BASE + "RUN exit 9\n") as at:
            with pytest.raises(BuildFailed):
                at.build.solve(Request())
            [*_, last] = [each for each in at.events if isinstance(each, Vertex) and "exit 9" in each.name]
        assert "9" in last.error

    def test_side_by_side(self, workshop: Workshop) -> None:
        """Builds don't disturb each other, though they are of the same."""
        images: list[Image] = []
        text = BASE + "COPY a /\n" + _RANDOM

        def run() -> None:
            images.append(built(workshop, text, {"a": "both"}))

        threads = [threading.Thread(target=run) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE_S)
        assert len(images) == 3
        assert all(files(workshop, each, "a") == ["both"] for each in images)

    def test_files_that_come_side_by_side(self, workshop: Workshop) -> None:
        """Are whole, though content comes after all names and in turn, as clients send it."""
        given = {f"d/{number}": f"{number} " * (100 + number) for number in range(5)} | {"d/empty": ""}
        context = _written(workshop.folder, {"Dockerfile": BASE + "COPY d /d/\n", **given})
        with Building(workshop.builder, Mixing({"context": context})) as at:
            image = exported(workshop, at, at.build.solve(Request()))
        assert files(workshop, image, *given) == [*given.values()]

    def test_a_folder_that_is_not_lent(self, workshop: Workshop) -> None:
        """Is missed."""
        with Building(workshop.builder, Lending()) as at, pytest.raises((BuildFailed, NotFound)):
            at.build.solve(Request())


def _failure(at: Building) -> list[BaseException]:
    try:
        at.build.solve(Request(no_cache=True))
    except MobyError as error:
        return [error]
    return []


def building(workshop: Workshop, text: str, given: Files | None = None, **lent: Any) -> Building:
    """Open a build of a Dockerfile and other files."""
    context = _written(workshop.folder, {"Dockerfile": text, **(given or {})})
    return Building(workshop.builder, Lending({"context": context}, **lent))


def exported(workshop: Workshop, at: Building, result: Result) -> Image:
    """Give a result to the engine, and return the image."""
    [told] = at.build.export(result, [Export(ExportType.IMAGE, names=("built:1",))])
    assert told.image is not None
    return workshop.images.get(str(told.image))


def built(workshop: Workshop, text: str, given: Files | None = None, request: Request | None = None) -> Image:
    """Build a Dockerfile, and return the image."""
    with building(workshop, text, given) as at:
        return exported(workshop, at, at.build.solve(request or Request()))


def files(workshop: Workshop, image: Image, *names: str) -> list[str]:
    """Return what files of an image hold."""
    with workshop.images.rootfs(image) as root:
        return [(root / each).read_text(encoding="utf-8") for each in names]


def output(at: Building) -> bytes:
    """Return all that steps have written."""
    return b"".join(each.data for each in at.events if isinstance(each, Log))
