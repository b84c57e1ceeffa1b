"""The cache of the builder `dockerfile` on real parts: what is found again, whatever happened in between."""

import os
import re
import signal
import subprocess
import sys
import threading

import pytest
from attrs import evolve
from building_engines import Engine, box_root
from moby_builder.dockerfile.parts import Policy
from moby_builder.dockerfile.service import Service

from moby.contracts.builder import CacheExport, CacheSource, Export, ExportType, Finding, Keep, Planned, Request, Vertex
from moby.errors import Invalid, NotFound, Unavailable
from moby.testing.lending import Building, Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

IMAGE = Export(ExportType.IMAGE, names=("built:1",))


@pytest.fixture(scope="module", autouse=True)
def apart():
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    return box_root(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="module")
def engine(apart, rootfs, tmp_path_factory):
    with Engine(tmp_path_factory.mktemp("engine"), rootfs) as engine:
        yield engine


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def nothing_kept(engine):
    yield
    engine.builder.prune(Keep(all=True))
    assert engine.builder.usage() == ()


class Stores(Lending):
    """One who has stores of blobs, too."""

    def __init__(self, *given, stores=None, **more):
        super().__init__(*given, **more)
        self.stores = stores

    def blobs(self, name):
        if self.stores is None:
            raise NotFound(name)
        return self.stores.setdefault(name, Blobs())


class Blobs:
    def __init__(self):
        self.kept = {}

    def read(self, digest):
        import io

        if digest not in self.kept:
            raise NotFound(str(digest))
        return io.BytesIO(self.kept[digest])

    def write(self, digest, size_bytes, chunks):
        self.kept[digest] = b"".join(chunks)


def opened(engine, context, text, *, builder=None, **lent):
    (context / "Dockerfile").write_text(text)
    return Building(builder or engine.builder, Stores({"context": context, "dockerfile": context}, **lent))


_NUMBERED = re.compile(r"\[[\w -]*\d+/\d+\] ")


def steps(at):
    """Of the steps that have a number, whether they were found."""
    last = {}
    for each in at.events:
        if isinstance(each, Vertex) and _NUMBERED.match(each.name) and " FROM " not in each.name:
            last[each.name.partition("] ")[2]] = each.cached
    return last


def build(engine, context, text, request=None, **lent):
    with opened(engine, context, text, **lent) as at:
        at.build.solve(request or Request(network="none"))
        return steps(at)


FILE = "FROM box\nRUN echo one > /one\nCOPY a /\nRUN cat /a > /two\n"


def test_all_is_found_again(engine, context):
    (context / "a").write_text("a")
    assert build(engine, context, FILE) == {"RUN echo one > /one": False, "COPY a /": False, "RUN cat /a > /two": False}
    assert build(engine, context, FILE) == {"RUN echo one > /one": True, "COPY a /": True, "RUN cat /a > /two": True}


def changed_time(context):
    os.utime(context / "a", (1, 1))


def changed_owner(context):
    os.chown(context / "a", 12, 34)


def another_file(context):
    (context / "b").write_text("b")


@pytest.mark.parametrize("change", [changed_time, changed_owner, another_file])
def test_what_changes_no_file_is_found(engine, context, change):
    (context / "a").write_text("a")
    build(engine, context, FILE, key="client")
    change(context)
    assert all(build(engine, context, FILE, key="client").values())


def changed_content(context):
    (context / "a").write_text("b")


def changed_mode(context):
    (context / "a").chmod(0o700)


@pytest.mark.parametrize("change", [changed_content, changed_mode])
def test_what_changes_a_file_is_missed_from_there_on(engine, context, change):
    (context / "a").write_text("a")
    build(engine, context, FILE)
    change(context)
    assert list(build(engine, context, FILE).values()) == [True, False, False]


@pytest.mark.parametrize(
    ("before", "after", "request_", "found"),
    [
        pytest.param("", "", {"arguments": {"HTTP_PROXY": "http://p"}}, True, id="a proxy"),
        pytest.param("ARG X=1\n", "ARG X=2\n", {}, False, id="an argument that nobody uses"),
        pytest.param("", "", {"network": "host", "allow": frozenset({"network.host"})}, False, id="the network"),
        pytest.param("", "", {"no_cache": True}, False, id="no cache"),
    ],
)
def test_what_a_run_is_told(engine, context, before, after, request_, found):
    text = "FROM box\n{}RUN echo $HTTP_PROXY > /x\n"
    assert build(engine, context, text.format(before)) == {"RUN echo $HTTP_PROXY > /x": False}
    request = evolve(Request(network="none"), **request_)
    assert build(engine, context, text.format(after), request) == {"RUN echo $HTTP_PROXY > /x": found}


def test_a_secret_that_changed_changes_nothing(engine, context):
    text = "FROM box\nRUN --mount=type=secret,id=s cat /run/secrets/s > /x\n"
    assert list(build(engine, context, text, secrets={"s": b"one"}).values()) == [False]
    assert list(build(engine, context, text, secrets={"s": b"two"}).values()) == [True]


def test_an_image_that_was_removed_leaves_what_was_built(engine, context):
    (context / "a").write_text("a")
    with opened(engine, context, FILE) as at:
        at.build.export(at.build.solve(Request(network="none")), [IMAGE])
    assert {each.shared for each in engine.builder.usage() if each.type == "regular"} == {True}
    engine.images.remove("built:1")
    assert {each.shared for each in engine.builder.usage()} == {False}
    assert all(build(engine, context, FILE).values())


def test_an_image_stays_whole_when_what_was_built_goes(engine, context):
    (context / "a").write_text("a")
    with opened(engine, context, FILE) as at:
        at.build.export(at.build.solve(Request(network="none")), [IMAGE])
    assert engine.builder.prune(Keep(all=True)).entries
    with engine.images.rootfs(engine.images.get("built:1")) as root:
        assert (root / "two").read_text() == "a"
    engine.images.remove("built:1")


def test_a_build_begins_with_another_ones_result(engine, context):
    with opened(engine, context, "FROM box\nENV A=1\nRUN echo one > /one\n") as at:
        (target,) = at.build.solve(Request(network="none")).targets
    request = Request(network="none", contexts={"other": f"result:{target.reference}"})
    with opened(engine, context, "FROM other\nRUN echo $A > /two\n") as at:
        (image,) = at.build.export(at.build.solve(request), [IMAGE])
    found = engine.images.get(str(image.image))
    assert "A=1" in found.config.environment
    with engine.images.rootfs(found) as root:
        assert ((root / "one").read_text(), (root / "two").read_text()) == ("one\n", "1\n")
    engine.images.remove("built:1")


def test_what_is_on_a_result_is_found_when_that_is_built_anew(engine, context):
    def base():
        with opened(engine, context, "FROM box\nRUN echo one > /one\n") as at:
            (target,) = at.build.solve(Request(network="none")).targets
            return target.reference

    first = base()
    (made,) = [each for each in engine.builder.usage() if each.type == "regular"]
    request = Request(network="none", contexts={"other": f"result:{first}"})
    text = "FROM box\nCOPY --from=other /one /two\n"
    assert not all(build(engine, context, text, request).values())
    assert engine.builder.prune(Keep(filters={"id": [made.id]})).entries
    assert base() == first
    assert made.id not in {each.id for each in engine.builder.usage()}
    assert all(build(engine, context, text, request).values())


def test_a_result_that_is_not_kept_any_more(engine, context):
    with opened(engine, context, "FROM box\nRUN echo one > /one\n") as at:
        (target,) = at.build.solve(Request(network="none")).targets
    request = Request(network="none", contexts={"other": f"result:{target.reference}"})
    with opened(engine, context, "FROM other\nRUN echo two > /two\n") as at:
        at.build.solve(request)
        assert engine.builder.prune(Keep()).entries == (), "who builds on it keeps it"
    (record,) = [each for each in engine.builder.usage() if each.description.endswith("echo one > /one")]
    snapshot = engine.builder._workshop().tools.records.get(record.id).snapshot
    engine.builder.prune(Keep(filters={"description": [each.description for each in engine.builder.usage()]}))
    with opened(engine, context, "FROM other\nRUN echo two > /two\n") as at, pytest.raises(NotFound, match="result"):
        at.build.solve(request)
    assert snapshot not in {each.key for each in engine.snapshotter.list()}


def test_a_result_whose_files_have_gone(engine, context):
    with opened(engine, context, "FROM box\nRUN echo one > /one\n") as at:
        (target,) = at.build.solve(Request(network="none")).targets
    (record,) = [each for each in engine.builder.usage() if each.description.endswith("echo one > /one")]
    engine.snapshotter.remove(engine.builder._workshop().tools.records.get(record.id).snapshot)
    request = Request(network="none", contexts={"other": f"result:{target.reference}"})
    gone = pytest.raises(NotFound, match=f"the result {target.reference} isn't kept any more")
    with opened(engine, context, "FROM other\nRUN echo two > /two\n") as at, gone:
        at.build.solve(request)


def test_a_cache_elsewhere_is_read_where_nothing_is_here(engine, context):
    (context / "a").write_text("a")
    stores = {}
    with opened(engine, context, FILE, stores=stores) as at:
        (written,) = at.build.export(
            at.build.solve(Request(network="none")), [], [CacheExport("local", "max", {"dest": "/c"})]
        )
    engine.builder.prune(Keep(all=True))
    digest = written.cache[0].digest
    request = Request(network="none", cache_from=(CacheSource("local", {"src": "/c", "digest": str(digest)}),))
    with opened(engine, context, FILE, stores=stores) as at:
        at.build.solve(request)
        assert list(steps(at).values()) == [True] * 3
        (image,) = at.build.export(at.build.solve(request), [IMAGE])
        read = {each.digest for each in at.events if isinstance(each, Vertex) and each.name.startswith("importing ca")}
        assert len(read) == 1, "however often a build is solved"
    with engine.images.rootfs(engine.images.get(str(image.image))) as root:
        assert (root / "two").read_text() == "a"
    engine.images.remove("built:1")
    assert all(build(engine, context, FILE).values()), "and it is here from then on"


def test_a_cache_that_is_not_there_is_done_without(engine, context):
    request = Request(
        network="none", cache_from=(CacheSource("local", {"src": "/nowhere", "digest": f"sha256:{'0' * 64}"}),)
    )
    assert list(build(engine, context, "FROM box\nRUN echo one > /one\n", request, stores={}).values()) == [False]


def test_steps_are_planned_before_they_are_begun(engine, context):
    (context / "a").write_text("a")
    with opened(engine, context, "FROM box as base\nRUN echo one > /one\nCOPY a /\nCMD x\n") as at:
        at.build.solve(Request(network="none"))
    kinds = [type(each) for each in at.events]
    planned = next(each for each in at.events if isinstance(each, Planned))
    assert [each.text for each in planned.steps] == ["FROM box as base", "RUN echo one > /one", "COPY a /", "CMD x"]
    first = next(
        number for number, each in enumerate(at.events) if isinstance(each, Vertex) and "echo one" in each.name
    )
    assert kinds.index(Planned) < kinds.index(Finding) < first
    ran = next(each for each in at.events if isinstance(each, Vertex) and "echo one" in each.name and each.completed_ns)
    assert planned.steps[1].vertex == ran.digest
    assert ran.missed == "nothing like it was built before"


def test_which_image_a_build_is_on_is_told(engine, context):
    image = engine.images.get("box").id.hex[:12]
    for _ in range(2):
        with opened(engine, context, "FROM box\nRUN true\n") as at:
            at.build.solve(Request(network="none"))
        last = {each.name: each for each in at.events if isinstance(each, Vertex)}
        (begun,) = [each for name, each in last.items() if " FROM " in name]
        assert begun.result == image


def test_which_file_changed_is_told(engine, context):
    (context / "src/deep").mkdir(parents=True)
    for each in ("src/main", "src/deep/part", "src/old"):
        (context / each).write_text("one")
    text = "FROM box\nCOPY src /src/\n"
    build(engine, context, text, key="client")
    (context / "src/deep/part").write_text("two")
    (context / "src/old").unlink()
    with opened(engine, context, text, key="client") as at:
        at.build.solve(Request(network="none"))
    assert {each.missed for each in at.events if isinstance(each, Vertex)} == {
        "", "files that it reads changed: deep/part and 1 more"
    }  # fmt: skip


# What is kept


def test_an_engine_that_never_built_keeps_nothing(rootfs, context, tmp_path):
    with Engine(tmp_path / "engine", rootfs) as engine:
        assert engine.builder.usage() == ()
        assert engine.builder._made is None
        build(engine, context, "FROM box\nRUN echo one > /one\n", key="client")
        kept = engine.builder.usage()
        assert kept
        with service(engine) as other:
            assert other.usage() == kept


def test_all_that_is_kept_is_listed(engine, context):
    (context / "a").write_text("a")
    text = "FROM box\nCOPY a /\nRUN --mount=type=cache,target=/c,id=mine echo one > /c/one\n"
    build(engine, context, text, key="client")
    found = {(each.type, each.description.partition("] ")[2]) for each in engine.builder.usage()}
    assert ("regular", "COPY a /") in found
    kinds = sorted({each.type for each in engine.builder.usage()})
    assert kinds == ["exec.cachemount", "regular", "source.local"]
    assert not any(each.in_use for each in engine.builder.usage())
    gone = engine.builder.prune(Keep(filters={"type": ["source.local"]}))
    assert {each.type for each in gone.entries} == {"source.local"}


def test_what_goes_on_keeps_what_it_needs(engine, context):
    (context / "a").write_text("a")
    with opened(engine, context, FILE, key="client") as at:
        at.build.solve(Request(network="none"))
        assert engine.builder.prune(Keep(all=True)).entries == ()
        assert {each.in_use for each in engine.builder.usage()} == {True}


def service(engine, **policy):
    """Another builder on the same folders, which collects after its first build."""
    given = engine.builder._parts
    (given.place.state / "collected").unlink(missing_ok=True)
    return Service(given, Policy(**policy))


def test_what_is_too_much_goes_by_itself(engine, context):
    (context / "a").write_bytes(b"a" * 100_000)
    with service(engine, keep_bytes=50_000) as builder:
        build(engine, context, FILE, builder=builder, key="client")
        builder._collector.join()
    assert sum(each.size_bytes for each in engine.builder.usage()) <= 50_000
    again = Service(engine.builder._parts, Policy(keep_bytes=50_000))
    with again as builder:
        build(engine, context, FILE, builder=builder, key="client")
        assert builder._collector is None, "it is no time to collect yet"


def test_what_is_not_too_much_stays(engine, context):
    (context / "a").write_bytes(b"a" * 100_000)
    with service(engine) as builder:
        build(engine, context, FILE, builder=builder, key="client")
        builder._collector.join()
    with service(engine, collect=False, keep_bytes=1) as builder:
        assert all(build(engine, context, FILE, builder=builder, key="client").values())
        assert builder._collector is None
    assert len([each for each in engine.builder.usage() if each.type == "regular"]) == 3


# Several, and ends


def test_another_process_may_build_on_the_same_folders(engine, context):
    (context / "a").write_text("a")
    with service(engine) as other, opened(engine, context, FILE, builder=other) as at:
        at.build.solve(Request(network="none"))
        with service(engine) as third:
            assert all(build(engine, context, FILE, builder=third).values())
            assert third.prune(Keep(all=True)).entries == ()


def test_a_builder_that_leaves_ends_its_builds(engine, context):
    errors = []
    builder = service(engine)
    with builder:
        at = opened(engine, context, "FROM box\nRUN echo begun; sleep 1000\n", builder=builder)

        def solve():
            try:
                at.build.solve(Request(network="none"))
            except Unavailable as error:
                errors.append(error)

        thread = threading.Thread(target=solve)
        thread.start()
        assert at.wait_for(lambda events: any(b"begun" in getattr(each, "data", b"") for each in events), 60)
    thread.join()
    assert errors
    with pytest.raises(Unavailable, match="the builder ends"):
        builder.open(Lending(), lambda event: None)
    with pytest.raises(Unavailable, match="canceled"):
        at.build.solve(Request())
    at.build.close()


def test_only_a_builds_own_results_are_exported(engine, context):
    with opened(engine, context, "FROM box\n") as at:
        result = at.build.solve(Request())
        with opened(engine, context, "FROM box\n") as other, pytest.raises(Invalid, match="no result of this build"):
            other.build.export(result, [IMAGE])


_KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from building_engines import Engine
from moby.contracts.builder import Request
from moby.testing.lending import Building, Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby_builder.dockerfile.effects import copying

real = copying.Copying.copy

def die(self, match, target):
    if match.path.endswith("a"):
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, match, target)

with own_mounts(shared=True), own_network(), Engine(Path({folder!r}), Path({rootfs!r})) as engine:
    copying.Copying.copy = die
    context = Path({context!r})
    with Building(engine.builder, Lending({{"context": context, "dockerfile": context}}, key="client")) as at:
        at.build.solve(Request(network="none"))
"""


def test_what_a_killed_builder_had_done_is_found_and_nothing_else_is_left(rootfs, context, tmp_path):
    text = "FROM scratch\nCOPY b /\nCOPY a /\n"
    for each, content in {"a": "a", "b": "b", "Dockerfile": text}.items():
        (context / each).write_text(content)
    folder = tmp_path / "engine"
    folder.mkdir()
    program = _KILLED.format(path=sys.path, folder=str(folder), rootfs=str(rootfs), context=str(context))
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    mounts = folder / "run/builder/mounts"
    assert list(mounts.iterdir())
    with Engine(folder, rootfs) as engine:
        assert not list(mounts.iterdir())
        assert not [each.key for each in engine.snapshotter.list() if each.key.startswith("builder/active/")]
        assert list(build(engine, context, text, key="client").values()) == [True, False]
        assert all(build(engine, context, text, key="client").values())
