"""POST /build, as docker-py and the docker command before BuildKit call it."""

import base64
import io
import json
import subprocess
import time

import docker
import pytest
from frontend.fake_builder import START_NS, FakeBuilder, archive
from moby_frontend.docker.classic.transcript import Transcript
from peers.binaries import environment, need

from moby.contracts.builder import CacheSource, Finding, Log, Planned, Progress, Step, Vertex
from moby.contracts.image_registry import Credentials
from moby.contracts.types import Limits, Platform
from moby.errors import NotFound
from moby.oci.digest import sha256

PATIENCE_S = 60


@pytest.fixture
def builder():
    return FakeBuilder()


@pytest.fixture
def built(serve, builder):
    return serve(builder=builder)


def build(served, query="", dockerfile="FROM x\n", **headers):
    """Build, and return the messages."""
    found = served.call("POST", f"/build?{query}", archive(Dockerfile=dockerfile, a="1"), headers)
    assert found.status == 200, found.body
    return [json.loads(each) for each in found.body.splitlines()]


def text_of(messages):
    return "".join(each.get("stream", "") for each in messages)


class TestBuild:
    def test_an_image(self, built, builder):
        told = build(built, "t=foo:bar&t=docker.io/library/more", "FROM x\nRUN SAY\nSAY hello\nCOPY a b\n")
        ((_, (export,), _),) = builder.exports
        short = told[-4]["aux"]["ID"].removeprefix("sha256:")[:12]
        run = sha256(b"1 RUN SAY").hex[:12]
        assert text_of(told) == (
            "Step 1/4 : FROM x\n ---> 000000000000\n"
            f"Step 2/4 : RUN SAY\n ---> Running in {run}\n"
            f" ---> Removed intermediate container {run}\n ---> 000000000001\n"
            "Step 3/4 : SAY hello\nhello\n ---> 000000000002\n"
            "Step 4/4 : COPY a b\n ---> Using cache\n ---> 000000000003\n"
            f"Successfully built {short}\nSuccessfully tagged foo:bar\nSuccessfully tagged more:latest\n"
        )
        assert {"status": "extracting", "progressDetail": {"current": 5, "total": 10}, "id": "abc"} in told
        assert export.names == ("foo:bar", "docker.io/library/more")
        assert builder.contexts[0].files["a"] == b"1"
        assert builder.builds[0].closed.is_set()

    def test_quiet(self, built):
        (told,) = build(built, "q=1")
        assert told["stream"].startswith("sha256:")
        (told,) = build(built, "q=1", "FAIL it\n")
        assert told["error"] == "The command '/bin/sh -c it' returned a non-zero code: 3"

    def test_a_step_that_fails(self, built):
        told = build(built, "", "FROM x\nFAIL make\nSAY no\n")
        assert "\x1b[91mit broke\n\x1b[0m" in text_of(told)
        text = "The command '/bin/sh -c make' returned a non-zero code: 3"
        assert told[-1] == {"errorDetail": {"code": 3, "message": text}, "error": text}
        told = build(built, "", 'FROM x\nFAIL echo "a"\n')
        assert told[-1]["error"] == "The command '/bin/sh -c echo \"a\"' returned a non-zero code: 3"
        told = build(built, "", "FROM x\nLEND secret s\n")
        assert told[-1]["error"].startswith("secret s: not found")
        assert "code" not in told[-1]["errorDetail"]

    def test_a_dockerfile_that_is_wrong(self, built):
        found = built.call("POST", "/build", archive(Dockerfile="BROKEN\n"))
        assert (found.status, found.message) == (400, "dockerfile parse error on line 1: unknown instruction: BROKEN")

    def test_a_warning(self, built):
        assert "[Warning] Command 'from' should be uppercase" in text_of(build(built, "", "from x\n"))

    def test_options(self, built, builder):
        query = (
            "dockerfile=Dockerfile&nocache=1&pull=1&target=there&platform=linux/arm64&networkmode=none&shmsize=1024"
            '&buildargs={"A":"b","N":null}&labels={"l":"m"}&cachefrom=["x/y"]&memory=1048576&memswap=-1&cpuquota=50000'
            '&cpuperiod=100000&cpushares=7&cpusetcpus=0&cpusetmems=1&extrahosts=box:::1&ulimits=[{"Name":"nofile","Soft":1,"Hard":2}]&cgroupparent=g'
        )
        build(built, query.replace('"', "%22"))
        (asked,) = builder.requests
        assert (asked.no_cache, asked.pull, asked.target, asked.network) == (True, True, "there", "none")
        assert asked.platforms == (Platform("linux", "arm64"),)
        assert (asked.shm_bytes, asked.arguments, asked.labels) == (1024, {"A": "b"}, {"l": "m"})
        assert asked.cache_from == (CacheSource("registry", {"ref": "x/y"}),)
        assert asked.limits == Limits(
            memory_bytes=1 << 20, cpus=0.5, memory_swap_bytes=-1, cpu_shares=7, cpuset_cpus="0", cpuset_mems="1"
        )
        assert (asked.hosts, asked.ulimits) == ((("box", "::1"),), (("nofile", 1, 2),))
        assert (asked.cgroup_parent, asked.sequential) == ("g", True)

    def test_a_url(self, built, builder):
        found = built.call("POST", "/build?remote=https://x/y.git")
        assert builder.requests[0].context == "https://x/y.git"
        assert found.status == 200

    @pytest.mark.parametrize(
        ("query", "status", "words"),
        [
            ("squash=1", 400, "squash is only supported with experimental mode"),
            ("squash=true&version=2", 400, "squash is only supported with experimental mode"),
            ("squash=1&version=9", 400, 'invalid version "9"'),
            ("securityopt=x&version=9", 400, "security options are not supported on linux"),
            ("securityopt=", 400, "security options are not supported on linux"),
            ("networkmode=container:x", 501, "builds in another container's network are not supported"),
            ("memswap=2", 400, "You should always set the Memory limit when using Memoryswap limit"),
            ("memory=2&memswap=1", 400, "Minimum memoryswap limit should be larger than memory limit"),
            ("memory=-1", 400, "limits can't be negative"),
            ("t=UPPER:x", 400, "invalid reference format"),
            ("buildargs=[]", 400, "buildargs: '[]' is no JSON of the kind that is wanted"),
            ("labels=x", 400, "labels: 'x' is no JSON of the kind that is wanted"),
            ("ulimits=[1]", 400, "ulimits: each has a Name, Soft and Hard"),
            ("extrahosts=x", 400, 'bad format for add-host: "x"'),
            ("platform=a/b/c/d", 400, "failed to parse target platform a/b/c/d"),
            ("shmsize=x", 400, "strconv.Atoi"),
        ],
    )
    def test_what_can_not_be(self, built, query, status, words):
        found = built.call("POST", f"/build?{query}", archive(Dockerfile="FROM x\n"))
        assert found.status == status
        assert found.message.startswith(words)

    @pytest.mark.parametrize("value", ["0", "False", "", "no", "none"])
    def test_squash_that_is_not_asked_for(self, built, builder, value):
        build(built, f"squash={value}")
        assert len(builder.exports) == 1

    def test_credentials(self, built, builder):
        who = {"username": "me", "password": "word"}
        config = base64.urlsafe_b64encode(
            json.dumps(
                {"https://index.docker.io/v1/": who, "registry.example": {"identitytoken": "t"}, "x": 1}
            ).encode()
        )
        lines = "\n".join(f"LEND credentials {each}" for each in ("docker.io", "registry.example", "elsewhere"))
        build(built, "", lines, **{"X-Registry-Config": config.decode()})
        assert builder.lent["credentials", "docker.io"] == Credentials("me", "word")
        assert builder.lent["credentials", "registry.example"] == Credentials(identity_token="t")
        assert builder.lent["credentials", "elsewhere"] is None
        build(built, "", "LEND credentials docker.io", **{"X-Registry-Config": "%%%"})
        assert builder.lent["credentials", "docker.io"] is None

    def test_what_a_call_does_not_lend(self, built, builder):
        build(built)
        (session,) = builder.sessions
        assert session.key == ""
        for ask in (
            lambda: session.folder("context", None, None), lambda: session.stream("context"), lambda: session.ssh("x"),
            lambda: session.blobs("x"), lambda: session.deliver_stream(0), lambda: session.deliver_folder(0, None),
        ):  # fmt: skip
            with pytest.raises(NotFound, match="POST /build"):
                ask()

    def test_a_client_that_goes(self, built, builder):
        sock = built.raw()
        body = archive(Dockerfile="FROM x\nWAIT here\n")
        sock.sendall(b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert b"Step 2/2" in _until(sock, b"Step 2/2")
        sock.close()
        assert builder.builds[0].closed.wait(PATIENCE_S)
        assert builder.builds[0].cancelled.is_set()

    def test_cancel(self, built, serve):
        assert built.call("POST", "/build/cancel?id=x").status == 200
        assert built.call("POST", "/build/cancel").status == 400
        assert serve().call("POST", "/build/cancel?id=x").status == 404


def _until(sock, wanted):
    found, limit = b"", time.monotonic() + PATIENCE_S
    while wanted not in found and time.monotonic() < limit:
        found += sock.recv(65536)
    return found


class TestClients:
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_docker_py(self, built, builder):
        client = built.docker()
        lines = list(client.build(fileobj=io.BytesIO(archive(Dockerfile="FROM x\n")), custom_context=True, tag="a:b"))
        assert b"Successfully tagged a:b" in b"".join(lines)
        with pytest.raises(docker.errors.APIError, match="unknown instruction: BROKEN"):
            list(client.build(fileobj=io.BytesIO(archive(Dockerfile="BROKEN\n")), custom_context=True))

    def test_the_command_without_buildkit(self, built, tmp_path, builder):
        (tmp_path / "Dockerfile").write_text("FROM x\nSAY hello\n")
        done = subprocess.run(
            [need("docker", "docker"), "build", "-t", "a:b", "--build-arg", "A=b", tmp_path],
            env=environment(DOCKER_HOST=f"unix://{built.path}", HOME=str(tmp_path), DOCKER_BUILDKIT="0"),
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Step 2/2 : SAY hello\nhello\n" in done.stdout
        assert "Successfully tagged a:b" in done.stdout
        assert builder.requests[0].arguments == {"A": "b"}


class TestTranscript:
    """Steps are told in the file's order, whatever order they are done in."""

    def told(self, *events, **how):
        transcript = Transcript(**how)
        return text_of([each for event in events for each in transcript.feed(event)])

    def test_steps_that_are_done_out_of_order(self):
        one, two = sha256(b"1"), sha256(b"2")
        told = self.told(
            Planned((Step("FROM x", one), Step("ENV a=b"), Step("RUN y", two))),
            Vertex(two, "y", started_ns=START_NS),
            Log(two, 1, b"late\n"),
            Vertex(two, "y", started_ns=START_NS, completed_ns=START_NS, result="b" * 64),
            Log(one, 2, b"early\n"),
            Vertex(one, "x", started_ns=START_NS, completed_ns=START_NS, result="a" * 64),
        )
        assert told == (
            "Step 1/3 : FROM x\n\x1b[91mearly\n\x1b[0m ---> aaaaaaaaaaaa\nStep 2/3 : ENV a=b\nStep 3/3 : RUN y\n"
            f" ---> Running in {two.hex[:12]}\nlate\n"
            f" ---> Removed intermediate container {two.hex[:12]}\n ---> {'b' * 12}\n"
        )

    @pytest.mark.parametrize("removes", [True, False])
    def test_ids_are_hexadecimal(self, removes):
        one, result = sha256(b"1"), "9648kajpje8bxyz"
        told = self.told(
            Planned((Step("FROM scratch"), Step("RUN y", one))),
            Vertex(one, "y", started_ns=START_NS, completed_ns=START_NS, result=result),
            removes=removes,
        )
        removed = f" ---> Removed intermediate container {one.hex[:12]}\n" if removes else ""
        assert told == (
            "Step 1/2 : FROM scratch\n ---> \nStep 2/2 : RUN y\n"
            f" ---> Running in {one.hex[:12]}\n{removed} ---> {sha256(result.encode()).hex[:12]}\n"
        )

    def test_a_step_that_two_instructions_share(self):
        one = sha256(b"1")
        told = self.told(
            Planned((Step("FROM x", one), Step("FROM x", one))),
            Vertex(one, "x", started_ns=START_NS, completed_ns=START_NS, result="a" * 64),
        )
        assert told == "Step 1/2 : FROM x\n ---> aaaaaaaaaaaa\nStep 2/2 : FROM x\n"

    def test_an_image_from_the_cache(self):
        one = sha256(b"1")
        told = self.told(
            Planned((Step("from x", one),)),
            Vertex(one, "x", started_ns=START_NS, completed_ns=START_NS, cached=True, result="a" * 64),
        )
        assert told == "Step 1/1 : from x\n ---> aaaaaaaaaaaa\n"

    def test_what_belongs_to_no_step(self):
        assert self.told(
            Finding(None, "X", "[Warning] told"), Progress("x", sha256(b"1"), total=5), Log(sha256(b"1"), 1, b"x")
        ) == ("[Warning] told\n")


class TestCache:
    def prune(self, served, query=""):
        return served.call("POST", f"/build/prune?{query}")

    def test_a_prune(self, built, builder):
        found = self.prune(built).json()
        assert found == {"CachesDeleted": ["one", "six"], "SpaceReclaimed": 1020}
        assert self.prune(built).json() == {"CachesDeleted": None, "SpaceReclaimed": 0}
        first, _ = builder.pruned
        assert (first.all, first.filters, first.age_ns, first.max_bytes) == (False, {}, 0, 0)

    def test_what_stays(self, built, builder):
        filters = '{"until":["24h"],"type":["regular"],"id":["a","b"]}'.replace('"', "%22")
        self.prune(built, f"all=1&keep-storage=5&max-used-space=6&min-free-space=7&filters={filters}")
        self.prune(built, "reserved-space=8&filters={%22unused-for%22:[%221h%22]}")
        first, second = builder.pruned
        assert (first.all, first.age_ns, first.filters) == (
            True,
            86400 * 10**9,
            {"type": ("regular",), "id": ("a", "b")},
        )
        assert (first.reserved_bytes, first.max_bytes, first.min_free_bytes) == (5, 6, 7)
        assert (second.reserved_bytes, second.age_ns) == (8, 3600 * 10**9)

    def test_nothing_of_it_has_labels(self, built, builder):
        assert self.prune(built, "filters={%22label%22:[%22a%22]}").json()["CachesDeleted"] is None
        assert not builder.pruned
        self.prune(built, "filters={%22label!%22:[%22a%22]}")
        assert [each.filters for each in builder.pruned] == [{}]

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("filters={%22colour%22:[%22x%22]}", "invalid filter 'colour'"),
            (
                "filters={%22until%22:[%221h%22],%22unused-for%22:[%221h%22]}",
                "conflicting filters: until and unused-for",
            ),
            ("filters={%22until%22:[%221h%22,%222h%22]}", "more than one until filter specified"),
            ("filters={%22id%22:[%22bad%22]}", "no such filter"),
            ("keep-storage=x", "strconv.Atoi"),
        ],
    )
    def test_what_can_not_be(self, built, query, words):
        found = self.prune(built, query)
        assert (found.status, found.message.startswith(words)) == (400, True)

    def test_what_it_takes(self, built):
        found = built.call("GET", "/system/df").json()["BuildCache"]
        assert [each["ID"] for each in found] == ["one", "six", "two"]
        assert found[0]["LastUsedAt"] is None
        assert found[2] | {"CreatedAt": "", "LastUsedAt": ""} == {
            "ID": "two", "Parent": "", "Parents": [], "Type": "exec.cachemount", "Description": "cached mount /x",
            "InUse": True, "Shared": False, "Size": 500, "CreatedAt": "", "LastUsedAt": "", "UsageCount": 3,
        }  # fmt: skip
        assert built.call("GET", "/system/df", version="v1.41").json()["BuilderSize"] == 1520
        assert built.call("GET", "/system/df?type=image").json()["BuildCache"] is None
