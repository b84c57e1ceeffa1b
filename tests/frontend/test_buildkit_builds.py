"""Builds by BuildKit's calls: options and outputs read, results given by ids, what makes no sense refused by name."""

import json
import subprocess
import sys
import threading

import pytest
from frontend.fake_builder import CACHE, START_NS, FakeBuilder
from moby_frontend.docker.buildkit.faults import fault
from moby_frontend.docker.buildkit.graphs import graph, reference_in
from moby_frontend.docker.buildkit.grpc import Code, Fault
from moby_frontend.docker.buildkit.jobs import Job
from moby_frontend.docker.buildkit.known import Known
from moby_frontend.docker.buildkit.messages import encode
from moby_frontend.docker.buildkit.progress import Feed, shown
from moby_frontend.docker.buildkit.protocol.common import Definition, Op, Other, SourceOp
from moby_frontend.docker.buildkit.protocol.control import (
    CacheOption,
    Exporter,
    Policy,
    PruneRequest,
    Rule,
    SolveRequest,
)
from moby_frontend.docker.buildkit.protocol.gateway import RefNames, ResultOf
from moby_frontend.docker.buildkit.requests import (
    cache_exports,
    entitlements,
    exports,
    is_multi_platform,
    platforms,
    request,
)
from moby_frontend.docker.buildkit.usage import keep, selected

from moby.contracts.builder import (
    BuildFailed,
    CacheExport,
    CacheSource,
    Export,
    ExportType,
    Finding,
    Log,
    Planned,
    Progress,
    Range,
    Result,
    Target,
    Vertex,
)
from moby.contracts.types import Platform
from moby.errors import Conflict, Invalid, NotFound, Unavailable, Unsupported
from moby.oci.digest import sha256

ONE = sha256(b"1")


def asked(options, inputs=None, frontend="dockerfile.v0"):
    return request(frontend, options, inputs or {}, ())


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "attribute", "value"),
        [
            ({"context": "https://x/y.git#main:sub"}, "context", "https://x/y.git#main:sub"),
            ({"context": "http://buildkit-session/abc"}, "context", "stream:abc"),
            ({"filename": "a/b"}, "dockerfile", "a/b"),
            ({"filename": ""}, "dockerfile", "Dockerfile"),
            ({"requestid": "frontend.lint"}, "request", "lint"),
            ({"image-resolve-mode": "pull"}, "pull", True),
            ({"image-resolve-mode": "local"}, "pull", False),
            ({"force-network-mode": "sandbox"}, "network", ""),
            ({"add-hosts": "a=1.2.3.4,B=::1"}, "hosts", (("a", "1.2.3.4"), ("b", "::1"))),
            ({"ulimit": "nofile=1:2,nproc=3"}, "ulimits", (("nofile", 1, 2), ("nproc", 3, 3))),
            ({"ulimit": "core=-1"}, "ulimits", (("core", -1, -1),)),
            ({"hostname": "h"}, "hostname", "h"),
            ({"no-cache": ""}, "no_cache", True),
            ({"no-cache": "a,b"}, "no_cache_stages", ("a", "b")),
            ({"context:x": "input:x"}, "contexts", {"x": "result:ref"}),
            ({"context:x": "oci-layout://store:latest@sha256:1"}, "contexts", {"x": "oci-layout://store@sha256:1"}),
            ({"context:x": "docker-image://a@b"}, "contexts", {"x": "docker-image://a@b"}),
            ({"attest:sbom": "", "attest:provenance": "disabled=true"}, "attestations", {"sbom": {}}),
            ({"attest:sbom": 'generator=a/b,"x=1,2"'}, "attestations", {"sbom": {"generator": "a/b", "x": "1,2"}}),
            ({"cache-imports": '[{"Type":"local","Attrs":{"src":"x"}}]'}, "cache_from",
             (CacheSource("local", {"src": "x"}),)),
            ({"cache-from": "a,b"}, "cache_from",
             (CacheSource("registry", {"ref": "a"}), CacheSource("registry", {"ref": "b"}))),
            ({"vcs:source": "x", "frontend.caps": "y", "multi-platform": "1", "cmdline": "z"}, "arguments", {}),
        ],
    )  # fmt: skip
    def test_what_they_mean(self, options, attribute, value):
        assert getattr(asked(options, {"x": "ref"}), attribute) == value

    @pytest.mark.parametrize(
        ("options", "error", "words"),
        [
            ({"colour": "red"}, Unsupported, "the build option 'colour' is unknown here"),
            ({"platform": "a/b/c/d"}, Invalid, "failed to parse target platform a/b/c/d"),
            ({"platform": "linux/"}, Invalid, "failed to parse target platform linux/"),
            ({"image-resolve-mode": "x"}, Invalid, "invalid image-resolve-mode: x"),
            ({"force-network-mode": "x"}, Invalid, "invalid netmode x"),
            ({"add-hosts": "x"}, Invalid, "failed to parse additional hosts: invalid key-value pair x"),
            ({"ulimit": "x"}, Invalid, "failed to parse ulimit: invalid ulimit argument: x"),
            ({"ulimit": "x=y"}, Invalid, "'y' is no number"),
            ({"shm-size": "x"}, Invalid, "'x' is no number"),
            ({"context:x": "input:y"}, Invalid, "invalid input y"),
            ({"attest:other": ""}, Invalid, 'unknown attestation type "other"'),
            ({"cache-imports": "{"}, Invalid, "failed to unmarshal cache-imports"),
            ({"cache-imports": "[1]"}, Invalid, "failed to unmarshal cache-imports"),
        ],
    )
    def test_what_they_can_not_be(self, options, error, words):
        with pytest.raises(error, match=words):
            asked(options)

    @pytest.mark.parametrize(
        ("types", "layers"),
        [((), False), (("local", "tar"), False), (("image",), True), (("tar", "oci"), True), (("docker",), True)],
    )
    def test_layers_that_will_be_exported(self, types, layers):
        wanted = [Export(ExportType(each)) for each in types]
        assert request("dockerfile.v0", {}, {}, (), wanted).layers is layers

    def test_front_ends(self):
        assert asked({"source": "docker/dockerfile:1.4"}, frontend="gateway.v0") is not None
        for frontend, source in (("gateway.v0", "some/front"), ("gateway.v0", ""), ("other.v0", "")):
            with pytest.raises(Unsupported):
                asked({"source": source}, frontend=frontend)

    def test_platforms(self):
        assert platforms("linux/arm64/v8,arm,amd64,linux/arm/v6,aarch64") == (
            Platform("linux", "arm64"), Platform("linux", "arm", "v7"), Platform("linux", "amd64"),
            Platform("linux", "arm", "v6"), Platform("linux", "arm64"),
        )  # fmt: skip
        assert platforms("linux") == (Platform("linux", Platform.host().architecture),)
        assert not is_multi_platform({"platform": "a"})
        assert is_multi_platform({"platform": "a,b"})
        assert is_multi_platform({"platform": "a", "multi-platform": "true"})
        with pytest.raises(Invalid, match="conflicting config"):
            is_multi_platform({"platform": "a,b", "multi-platform": "false"})
        with pytest.raises(Invalid, match="invalid boolean value for multi-platform: x"):
            is_multi_platform({"build-arg:BUILDKIT_MULTI_PLATFORM": "x"})


class TestOutputs:
    def test_exports(self):
        found = exports(SolveRequest(exporters=[
            Exporter("moby", {"name": "a:b, c", "load": "true"}), Exporter("oci", {"tar": "false"}),
            Exporter("image", {"name": "a", "push": "true", "compression": "zstd"}),
        ]))  # fmt: skip
        assert found == (
            Export(ExportType.IMAGE, 0, ("a:b", "c")),
            Export(ExportType.OCI, 1, store="export", attributes={"tar": "false"}),
            Export(ExportType.IMAGE, 2, ("a",), push=True, attributes={"compression": "zstd"}),
        )
        assert exports(SolveRequest(exporter="tar")) == (Export(ExportType.TAR),)
        assert exports(SolveRequest()) == ()
        with pytest.raises(Invalid, match='exporter "x" could not be found'):
            exports(SolveRequest(exporter="x"))
        with pytest.raises(Invalid, match="invalid boolean value for push: x"):
            exports(SolveRequest(exporter="moby", exporter_attributes={"push": "x"}))

    def test_caches(self):
        found = cache_exports([CacheOption("registry", {"ref": "a", "mode": "max"}), CacheOption("inline")])
        assert found == (CacheExport("registry", "max", {"ref": "a"}), CacheExport("inline"))

    def test_entitlements(self):
        assert entitlements(["network.host"]) == {"network.host"}
        with pytest.raises(Invalid, match="unknown entitlement x"):
            entitlements(["x"])


class TestGraphs:
    def test_a_result(self):
        arm = Platform("linux", "arm", "v7")
        assert reference_in(graph("abc", arm)) == (arm, "abc")
        made = graph("abc", arm)
        assert set(made.metadata) == {str(sha256(each)) for each in made.operations}

    @pytest.mark.parametrize(
        ("operations", "words"),
        [
            ([], "a graph of 0 results"),
            ([Op(source=SourceOp("moby-result://a")), Op(source=SourceOp("moby-result://b"))], "a graph of 2 results"),
            ([Op(source=SourceOp("docker-image://x"))], "graphs of operations are not run here, .*docker-image"),
            ([Op(exec=Other())], "graphs of operations are not run here, .*exec"),
            ([Op(merge=Other())], "graphs of operations are not run here, .*merge"),
        ],
    )
    def test_what_is_none(self, operations, words):
        with pytest.raises(Unsupported, match=words):
            reference_in(Definition([encode(each) for each in operations]))


class Several(FakeBuilder):
    """Solves to two platforms at once, of nothing."""

    def open(self, session, tell):
        build = super().open(session, tell)
        targets = (Target(Platform("linux", "amd64"), "ref1", {"a": 1}), Target(Platform("linux", "arm64"), "ref2"))
        build.solve = lambda request: Result(targets if request.platforms else targets[:1])
        return build


class Lent:
    """A session that lends nothing."""

    def renamed(self, names):
        return self


@pytest.fixture
def job():
    made = Job(SolveRequest("ref", session="s", exporter="moby"), Several(), lending())
    yield made
    made.close()


def lending():
    sessions = Known()
    sessions.add("s", Lent())
    return sessions


class TestJob:
    def test_one_platform(self, job):
        found = job.solve("dockerfile.v0", {}, {})
        assert json.loads(found.metadata["containerimage.config"]) == {"a": 1}
        assert reference_in(found.ref.definition)[1] == "ref1"
        job.check(found.ref.id)
        with pytest.raises(NotFound, match="no such ref: x"):
            job.check("x")
        job.give_back(found)
        job.give_back(Fault(Code.UNKNOWN, "too late"))
        assert job.wait().targets[0].reference == "ref1"

    def test_several_platforms(self, job):
        found = job.solve("dockerfile.v0", {"platform": "linux/amd64,linux/arm64"}, {})
        assert set(found.refs.refs) == {"linux/amd64", "linux/arm64"}
        assert json.loads(found.metadata["refs.platforms"])["Platforms"][1] == {
            "ID": "linux/arm64", "Platform": {"architecture": "arm64", "os": "linux"},
        }  # fmt: skip
        assert json.loads(found.metadata["containerimage.config/linux/amd64"]) == {"a": 1}
        job.give_back(found)
        whole = job.wait()
        assert [each.reference for each in whole.targets] == ["ref1", "ref2"]
        assert job.export(whole)["containerimage.config.digest"] == str(sha256(b"ref1"))

    def test_one_of_several(self, job):
        found = job.solve("dockerfile.v0", {"platform": "linux/amd64,linux/arm64"}, {})
        names = {each: ref.id for each, ref in found.refs.refs.items()}
        job.give_back(ResultOf(old_refs=RefNames({"x": names["linux/arm64"]})))
        assert [each.reference for each in job.wait().targets] == ["ref2"]

    def test_a_graph_is_known_again(self, job):
        found = job.solve("dockerfile.v0", {}, {})
        again = job.adopt(found.ref.definition)
        assert again.ref.id != found.ref.id
        job.give_back(ResultOf(old_ref=again.ref.id))
        assert job.wait().targets[0].config == {"a": 1}

    def test_nothing_given_back(self, job):
        job.give_back(ResultOf())
        assert job.wait() is None
        assert job.export(None) == {}

    def test_what_is_not_there(self, job):
        job.give_back(ResultOf(old_ref="x"))
        with pytest.raises(NotFound, match="no such ref: x"):
            job.wait()

    def test_a_client_that_fails(self, job):
        job.give_back(Fault(Code.NOT_FOUND, "mine"))
        with pytest.raises(Fault, match="mine"):
            job.wait()

    def test_one_that_is_given_up(self, job):
        threading.Timer(0.05, job.cancel).start()
        with pytest.raises(Unavailable, match="context canceled"):
            job.wait()
        with pytest.raises(Unavailable, match="context canceled"):
            job.solve("dockerfile.v0", {}, {})

    @pytest.mark.parametrize("ends", [True, False], ids=["one that ends", "one that hangs"])
    def test_what_is_told_of_one_that_is_given_up(self, ends, monkeypatch):
        monkeypatch.setattr("moby_frontend.docker.buildkit.jobs._LAST_WORDS_S", 60 if ends else 0.01)
        begun, go, last = threading.Event(), threading.Event(), Vertex(ONE, "a", error="context canceled")

        class Dying(Several):
            def open(self, session, tell):
                build = super().open(session, tell)

                def solve(request):
                    begun.set()
                    go.wait(60)
                    tell(last)
                    raise Unavailable("context canceled")

                build.solve = solve
                build.cancel = go.set if ends else lambda: None
                return build

        job, errors = Job(SolveRequest("ref", session="s"), Dying(), lending()), []

        def run():
            try:
                job.solve("dockerfile.v0", {}, {})
            except Unavailable as error:
                errors.append(error.message)

        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(60)
        job.cancel()
        job.cancel()
        if ends:
            job.over()
        told = [each for events in job.feed.watch() for each in events]
        go.set()
        thread.join(60)
        job.close()
        assert (told, errors) == ([last] if ends else [], ["context canceled"])

    def test_no_session(self, monkeypatch):
        monkeypatch.setattr("moby_frontend.docker.buildkit.jobs._SESSION_S", 0.01)
        job = Job(SolveRequest("ref", session="none"), Several(), lending())
        with pytest.raises(Unavailable, match="no active session for none"):
            job.solve("dockerfile.v0", {}, {})

    def test_alone(self):
        job = Job(SolveRequest("ref", session="s", frontend="dockerfile.v0"), Several(), lending())
        assert job.alone().targets[0].reference == "ref1"

    def test_policies(self):
        with pytest.raises(Unsupported, match="policies of sources"):
            Job(SolveRequest("ref", policy=Policy([Rule()])), Several(), lending())


def test_nothing_of_it_is_imported_before_a_build():
    text = (
        "import sys; import moby_frontend.docker.frontend, moby_frontend.docker.parts, moby_frontend.docker.plugin\n"
        "found = {each for each in sys.modules if 'buildkit' in each or 'hpack' in each or 'classic' in each}\n"
        "print(sorted(each.rpartition('.')[2] for each in found))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "['building', 'buildkit', 'known']\n"


class TestKnown:
    def test_who_comes_late(self):
        known = Known()
        assert known.add("a", "A")
        assert not known.add("a", "B")
        known.remove("a", late=True)
        assert known.all() == ()
        assert known.get("a", 0) == "A"
        for number in range(100):
            known.add(str(number), "x")
            known.remove(str(number), late=True)
        assert known.get("a", 0) is None
        known.add("b", "B")
        known.remove("b")
        assert known.get("b", 0) is None

    def test_a_name_is_taken_once(self):
        known = Known()
        assert known.claim("a")
        assert not known.claim("a")
        assert known.get("a", 0) is None
        assert known.add("a", "A")
        assert not known.claim("a")
        known.remove("a")
        assert known.claim("a")
        known.remove("a")
        assert known.add("a", "B")

    def test_who_comes_early(self):
        known = Known()
        threading.Timer(0.05, known.add, ("a", "A")).start()
        assert known.get("a", 60) == "A"


class TestFeed:
    def test_the_first_gets_all_and_others_where_steps_are(self):
        feed = Feed()
        begun, done = Vertex(ONE, "a", started_ns=1), Vertex(ONE, "a", started_ns=1, completed_ns=2)
        for each in (begun, Log(ONE, 1, b"x"), done):
            feed.tell(each)
        first = feed.watch()
        assert next(first) == [begun, Log(ONE, 1, b"x"), done]
        second = feed.watch()
        assert next(second) == [done]
        feed.tell(Log(ONE, 1, b"y"))
        assert next(first) == next(second) == [Log(ONE, 1, b"y")]
        feed.close()
        assert list(first) == list(second) == []

    def test_what_nobody_watches_is_kept_up_to_a_size(self):
        feed, state = Feed(), Vertex(ONE, "a", started_ns=1)
        feed.tell(state)
        for _ in range(5):
            feed.tell(Log(ONE, 1, bytes(1 << 20)))
        watching = feed.watch()
        assert next(watching) == [state]
        feed.close()
        assert list(watching) == []

    def test_messages_are_small(self):
        feed = Feed()
        large = Log(ONE, 1, bytes(600_000))
        for each in (large, large, large, Vertex(ONE, "a"), Finding(None, "R", "m", source="x" * 600_000)):
            feed.tell(each)
        for _ in range(2500):
            feed.tell(Log(ONE, 1, b"x"))
        feed.close()
        assert [len(each) for each in feed.watch()] == [1, 1, 2, 1000, 1000, 501]

    def test_how_it_is_told(self):
        found = shown([
            Planned(()), Vertex(ONE, "a", (ONE,), START_NS, 0, cached=True), Log(ONE, 2, b"x", START_NS),
            Progress("p", ONE, "n", 1, 2, START_NS),
            Finding(None, "R", "short", "long", "u", "f", "text", (Range(2, 3),)),
            Finding(ONE, "R", "bare"),
        ])  # fmt: skip
        assert (found.vertexes[0].name, found.vertexes[0].completed, found.vertexes[0].inputs) == (
            "a",
            None,
            [str(ONE)],
        )
        assert (found.logs[0].stream, found.statuses[0].total) == (2, 2)
        first, second = found.warnings
        assert (first.short, first.detail, first.info.data, first.ranges[0].end.line) == (
            b"short",
            [b"long"],
            b"text",
            3,
        )
        assert (second.vertex, second.info, second.detail) == (str(ONE), None, [])


class TestFaults:
    def test_where_it_is(self):
        error = BuildFailed("bad", vertex=ONE, file="Dockerfile", source="FROM", ranges=(Range(1, 2),))
        found = fault(error)
        assert found.code == Code.UNKNOWN
        vertex, source = found.details
        assert vertex.type_url == "github.com/moby/buildkit/errdefs.Vertex+json"
        assert json.loads(vertex.value) == {"digest": str(ONE)}
        assert json.loads(source.value)["ranges"] == [{"start": {"line": 1}, "end": {"line": 2}}]
        assert json.loads(source.value)["info"]["data"] == "RlJPTQ=="
        assert fault(BuildFailed("bad")).details == ()

    def test_codes(self):
        assert fault(Conflict("x")).code == Code.UNKNOWN
        assert fault(OSError(28, "No space left on device")).message == "No space left on device"
        assert fault(ValueError("x")).code == Code.INTERNAL
        own = Fault(5, "x")
        assert fault(own) is own


class TestCache:
    @pytest.mark.parametrize(
        ("filters", "names"),
        [
            ([], ["one", "two", "six"]),
            (["id==one", "id==six"], ["one", "six"]),
            (["type==regular,id!=one"], []),
            (['description~="RUN"'], ["one"]),
            (["inuse"], ["two"]),
            (["shared"], ["six"]),
            (["mutable"], ["two"]),
            (["private,immutable"], ["one"]),
            (['id=="o\\ne"'], ["one"]),
            (["parents==zero"], ["one"]),
        ],
    )
    def test_filters(self, filters, names):
        assert [each.id for each in selected(CACHE, filters)] == names

    @pytest.mark.parametrize("text", ["colour==red", "==", ",", '"', "id=one", 'id=="one"x'])
    def test_filters_that_are_none(self, text):
        with pytest.raises(Invalid, match="invalid filter"):
            selected(CACHE, [text])

    def test_what_stays(self):
        found = keep(PruneRequest(["type==regular", "id==a", "id~=b,shared"], True, 5, 6, 7, 8))
        assert found.filters == {"type": ["regular"], "id": ["a", "b"], "shared": ["true"]}
        assert (found.all, found.age_ns, found.reserved_bytes, found.max_bytes, found.min_free_bytes) == (
            True,
            5,
            6,
            7,
            8,
        )
        for each in ("mutable", "type~=x", "id!=x", "id"):
            with pytest.raises(Invalid, match="a prune can't choose by"):
                keep(PruneRequest([each]))
