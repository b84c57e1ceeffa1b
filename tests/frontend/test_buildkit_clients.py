"""docker build, buildx, bake and compose, unmodified, against a builder that does what its Dockerfile says."""

import base64
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import time

import pytest
from attrs import evolve
from frontend.fake_builder import MANIFEST, FakeBuilder
from peers.binaries import ROOT, environment, need

from moby.contracts.builder import CacheExport, CacheSource, ExportType
from moby.contracts.image_registry import Credentials
from moby.contracts.types import Platform
from moby.oci.digest import sha256

pytestmark = pytest.mark.slow

PATIENCE_S = 60
PLUGINS = "usr/libexec/docker/cli-plugins"
KEYS = b"\0\0\0\x05\x0c\0\0\0\0"
"""An agent's answer: it has none."""


class Clients:
    """Docker's commands in a folder of their own."""

    def __init__(self, folder, served, builder):
        self.folder, self.served, self.builder = folder, served, builder
        self.context = folder / "context"
        self.context.mkdir()
        settings = folder / "settings"
        settings.mkdir()
        secret = base64.b64encode(b"me:word").decode()
        config = {
            "cliPluginsExtraDirs": [str(ROOT / PLUGINS)],
            "auths": {"registry.example": {"auth": secret}, "https://index.docker.io/v1/": {"auth": secret}},
        }
        (settings / "config.json").write_text(json.dumps(config))
        self.environment = environment(
            DOCKER_HOST=f"unix://{served.path}",
            DOCKER_CONFIG=str(settings),
            HOME=str(folder),
        )

    def write(self, **files):
        for name, text in files.items():
            (self.context / name.replace("_", ".")).write_text(text)

    def begin(self, *words, **options):
        return subprocess.Popen(
            ["docker", *words], cwd=self.context, env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True, **options,
        )  # fmt: skip

    def run(self, *words, code=0, **options):
        """Run a command; return what it said."""
        done = subprocess.run(
            ["docker", *words], cwd=self.context, env=self.environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=PATIENCE_S, check=False, **options,
        )  # fmt: skip
        text = done.stdout.decode()
        assert done.returncode == code, text
        return text


@pytest.fixture
def builder():
    return FakeBuilder()


@pytest.fixture
def clients(tmp_path, serve, builder):
    need("docker", "docker")
    if not (ROOT / PLUGINS / "docker-buildx").exists():
        pytest.skip("buildx is not there; `tools/peers buildx` unpacks it")
    found = Clients(tmp_path, serve(builder=builder), builder)
    yield found
    for each in builder.builds:
        assert each.closed.wait(PATIENCE_S)


class TestBuild:
    def test_an_image(self, clients, builder):
        clients.write(Dockerfile="FROM x\nSAY hello there\nCOPY a b\n", a_txt="text")
        (clients.context / "sub").mkdir()
        (clients.context / "sub" / "b").write_bytes(b"x" * 70_000)
        (clients.context / "sub" / "link").symlink_to("../a.txt")
        said = clients.run("build", "--progress=plain", "-t", "foo:bar", "-t", "foo:baz", ".")
        assert "[2/3] SAY hello there" in said
        assert " hello there" in said
        assert "extracting 5B / 10B" in said or "abc 5B / 10B" in said
        assert "CACHED" in said
        (context,) = builder.contexts
        assert context.names == ["Dockerfile", "a.txt", "sub", "sub/b", "sub/link"]
        assert (bytes(context.files["sub/b"]), bytes(context.files["a.txt"])) == (b"x" * 70_000, b"text")
        link = context.entries[-1]
        assert (link.link, oct(link.mode)) == ("../a.txt", "0o120777")
        ((result, (export,), caches),) = builder.exports
        assert (export.type, export.names, export.push, caches) == (ExportType.IMAGE, ("foo:bar", "foo:baz"), False, ())
        assert result.targets[0].platform == Platform.host()

    def test_what_it_is_called(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        said = clients.run("build", "-q", ".")
        ((result, _, _),) = builder.exports
        assert said == f"{sha256(result.targets[0].reference.encode())}\n"
        data = clients.folder / "told.json"
        clients.run("build", "-t", "a:b", "--metadata-file", str(data), ".")
        told = json.loads(data.read_text())
        assert told["containerimage.config.digest"] == said.strip()
        assert told["image.name"] == "a:b"

    def test_a_folder_has_a_key(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        for _ in range(2):
            clients.run("build", ".")
        first, second = [each.key for each in builder.sessions]
        assert first == second
        assert first.startswith("context")

    def test_names_of_any_sort(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        (clients.context / "Dockerfile.dockerignore").write_text("näme\n")
        for name in ("näme", "zoë", "a b", "x\ny"):
            (clients.context / name).write_text(name)
        clients.run("build", ".")
        assert builder.contexts[0].names == ["Dockerfile", "Dockerfile.dockerignore", "a b", "x\ny", "zoë"]

    def test_many_files_and_large_ones(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        (clients.context / "large").write_bytes(os.urandom(9 << 20))
        for number in range(300):
            (clients.context / f"file{number:03}").write_bytes(b"%d" % number)
        clients.run("build", ".")
        found = builder.contexts[0].files
        assert bytes(found["large"]) == (clients.context / "large").read_bytes()
        assert [bytes(found[f"file{number:03}"]) for number in range(300)] == [b"%d" % each for each in range(300)]

    def test_a_dockerfile_elsewhere(self, clients, builder):
        (clients.folder / "other").write_text("FROM y\n")
        clients.write(a="1")
        clients.run("build", "-f", str(clients.folder / "other"), ".")
        assert builder.requests[0].dockerfile == "other"
        clients.run("build", "-f", "-", ".", input=b"FROM z\n")
        assert len(builder.exports) == 2

    def test_an_archive(self, clients, builder):
        clients.write(Dockerfile="FROM x\n", a="1")
        with tarfile.open(clients.folder / "all.tar", "w", format=tarfile.GNU_FORMAT) as tar:
            tar.add(clients.context, ".")
        with (clients.folder / "all.tar").open("rb") as file:
            clients.run("build", "-", stdin=file)
        assert builder.requests[0].context.startswith("stream:")
        assert set(builder.contexts[0].files) == {"Dockerfile", "a"}

    def test_options(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        clients.run(
            "buildx", "build", "--target", "there", "--build-arg", "A=b=c", "--label", "l=m", "--no-cache", "--pull",
            "--network", "none", "--add-host", "box:1.2.3.4", "--shm-size", "64m", "--ulimit", "nofile=10:20",
            "--cgroup-parent", "group", "--allow", "network.host", "--cache-from", "type=registry,ref=x/y",
            "--build-context", "n=docker-image://busybox", "--attest", "type=provenance,mode=max", "--sbom=true", ".",
        )  # fmt: skip
        (asked,) = builder.requests
        assert (asked.target, asked.arguments, asked.labels) == ("there", {"A": "b=c"}, {"l": "m"})
        assert (asked.no_cache, asked.pull, asked.network) == (True, True, "none")
        assert (asked.hosts, asked.shm_bytes, asked.ulimits) == ((("box", "1.2.3.4"),), 64 << 20, (("nofile", 10, 20),))
        assert (asked.cgroup_parent, asked.allow) == ("group", {"network.host"})
        assert asked.cache_from == (CacheSource("registry", {"ref": "x/y"}),)
        assert asked.contexts == {"n": "docker-image://busybox"}
        assert asked.attestations["provenance"]["mode"] == "max"
        assert "sbom" in asked.attestations

    def test_the_host_by_name(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        said = clients.run("build", "--add-host", "host:host-gateway", ".", code=1)
        assert "host-gateway" in said
        networks = clients.served.networks
        networks.made["none"] = evolve(networks.made["none"], ipam=({"Gateway": "172.17.0.1"},))
        clients.run("build", "--add-host", "host:host-gateway", ".")
        assert builder.requests[0].hosts == (("host", "172.17.0.1"),)

    def test_more_options(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        (clients.context / "sub").mkdir()
        (clients.context / "sub" / "file").write_text("1")
        clients.write(Dockerfile="FROM x\nLEND folder more\n")
        clients.run("buildx", "build", "--no-cache-filter", "a,b", "--build-context", "more=sub",
                    "--provenance=false", "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=here", ".")  # fmt: skip
        (asked,) = builder.requests
        assert (asked.no_cache, asked.no_cache_stages, asked.hostname) == (False, ("a", "b"), "here")
        assert asked.contexts == {"more": "local:more"}
        assert "provenance" not in asked.attestations
        assert builder.lent["folder", "more"].names == ["file"]

    def test_several_platforms(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        clients.run("buildx", "build", "--platform", "linux/amd64,linux/arm64/v8,linux/arm/v7", "-t", "a", ".")
        wanted = (Platform("linux", "amd64"), Platform("linux", "arm64"), Platform("linux", "arm", "v7"))
        assert builder.requests[0].platforms == wanted
        assert tuple(each.platform for each in builder.exports[0][0].targets) == wanted

    def test_other_requests(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        clients.environment["BUILDX_EXPERIMENTAL"] = "1"
        assert '{"told":1}' in clients.run("buildx", "build", "--print=outline,format=json", ".")
        assert builder.requests[0].request == "outline"
        assert "List available subrequest types" in clients.run("buildx", "build", "--print=subrequests.describe", ".")
        assert builder.exports == []


class TestLent:
    def test_secrets(self, clients, builder):
        clients.write(Dockerfile="FROM x\nLEND secret mine\n", word="hidden")
        clients.run("build", "--secret", "id=mine,src=word", ".")
        assert builder.lent["secret", "mine"] == b"hidden"

    def test_a_secret_that_is_not_there(self, clients):
        clients.write(Dockerfile="FROM x\nLEND secret mine\n")
        assert "secret mine: not found" in clients.run("build", "--secret", "id=other,src=Dockerfile", ".", code=1)
        assert "secret mine: not found" in clients.run("build", ".", code=1)

    def test_an_agent(self, clients, builder):
        path = str(clients.folder / "agent")
        with socket.socket(socket.AF_UNIX) as agent:
            agent.bind(path)
            agent.listen()
            thread = threading.Thread(target=serve_agent, args=(agent,))
            thread.start()
            clients.write(Dockerfile="FROM x\nLEND ssh default\n")
            clients.run("build", "--ssh", f"default={path}", ".")
            thread.join(PATIENCE_S)
        assert builder.lent["ssh", "default"] == KEYS
        said = clients.run("build", ".", code=1)
        assert "the client lends no ssh agents" in said or "unset ssh forward key default" in said

    def test_credentials(self, clients, builder):
        clients.write(
            Dockerfile="LEND credentials docker.io\nLEND credentials registry.example\nLEND credentials elsewhere\n"
        )
        clients.run("build", ".")
        assert builder.lent["credentials", "docker.io"] == Credentials("me", "word")
        assert builder.lent["credentials", "registry.example"] == Credentials("me", "word")
        assert builder.lent["credentials", "elsewhere"] is None

    def test_a_layout(self, clients, builder):
        layout = clients.folder / "layout"
        (layout / "blobs" / "sha256").mkdir(parents=True)
        digest = sha256(MANIFEST)
        (layout / "blobs" / "sha256" / digest.hex).write_bytes(MANIFEST)
        clients.write(Dockerfile=f"LEND layout base@{digest}\nLEND layout base@sha256:{'0' * 64}\n")
        said = clients.run("buildx", "build", "--build-context", f"base=oci-layout://{layout}@{digest}", ".", code=1)
        assert f"has no blob sha256:{'0' * 64}" in said
        assert builder.lent["layout", f"base@{digest}"] == MANIFEST
        assert builder.requests[0].contexts["base"].startswith("oci-layout://")
        assert builder.requests[0].contexts["base"].endswith(f"@{digest}")


def serve_agent(listener):
    """Answer one client that it has no keys, as often as it asks."""
    client, _ = listener.accept()
    with client:
        while client.recv(100):
            client.sendall(KEYS)


class TestOutputs:
    def test_a_folder(self, clients):
        clients.write(Dockerfile="FROM x\n")
        clients.run("build", "-o", "out", ".")
        out = clients.context / "out"
        assert {str(each.relative_to(out)) for each in out.rglob("*")} == {"a", "sub", "sub/file"}
        assert (out / "sub" / "file").read_bytes() == b"x" * 100_000
        assert oct((out / "sub" / "file").stat().st_mode) == "0o100640"

    def test_an_archive(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        for kind in ("tar", "oci", "docker"):
            clients.run("buildx", "build", "-o", f"type={kind},dest={kind},name=a:b", ".")
            assert (clients.context / kind).stat().st_size == 4_000_000
            assert builder.exports[-1][1][0].type.value == kind
            assert builder.exports[-1][1][0].names == ("a:b",)

    def test_several(self, clients, builder):
        clients.environment["BUILDX_EXPERIMENTAL"] = "1"
        clients.write(Dockerfile="FROM x\n")
        words = ("-o", "type=tar,dest=one", "-o", "type=local,dest=two", "-o", "type=image,name=box,push=true")
        clients.run("buildx", "build", *words, ".")
        (asked,) = [each for _, each, _ in builder.exports]
        assert [each.number for each in asked] == [0, 1, 2]
        assert asked[2].push
        assert (clients.context / "one").exists()
        assert (clients.context / "two" / "a").exists()

    def test_a_layout(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        clients.run("buildx", "build", "-o", "type=oci,dest=out,tar=false", ".")
        index = json.loads((clients.context / "out" / "index.json").read_text())
        assert index["manifests"][0]["digest"] == str(sha256(MANIFEST))
        assert index["manifests"][0]["size"] == len(MANIFEST)
        assert (clients.context / "out" / "blobs" / "sha256" / sha256(MANIFEST).hex).read_bytes() == MANIFEST

    def test_a_cache(self, clients, builder):
        clients.write(Dockerfile="FROM x\n")
        clients.run("buildx", "build", "--cache-to", "type=local,dest=cache,mode=max", ".")
        assert builder.exports[0][2] == (CacheExport("local", "max", {"dest": "cache"}),)
        index = json.loads((clients.context / "cache" / "index.json").read_text())
        assert index["manifests"][0]["digest"] == str(sha256(MANIFEST))
        clients.run("buildx", "build", "--cache-from", "type=local,src=cache", ".")
        (found,) = builder.requests[-1].cache_from
        assert (found.type, found.attributes["digest"]) == ("local", str(sha256(MANIFEST)))


class TestFailures:
    def test_a_step(self, clients):
        clients.write(Dockerfile="FROM x\nFAIL make\nSAY more\n")
        said = clients.run("build", "--progress=plain", ".", code=1)
        assert "it broke" in said
        assert "   2 | >>> FAIL make" in said
        assert 'failed to solve: process "/bin/sh -c make" did not complete successfully: exit code: 3' in said

    def test_a_dockerfile(self, clients):
        clients.write(Dockerfile="FROM x\n\nBROKEN\n")
        said = clients.run("build", ".", code=1)
        assert "   3 | >>> BROKEN" in said
        assert "failed to solve: dockerfile parse error on line 3: unknown instruction: BROKEN" in said

    def test_no_dockerfile(self, clients):
        clients.write(a="1")
        said = clients.run("build", ".", code=1)
        assert "failed to read dockerfile: open Dockerfile: no such file or directory" in said

    def test_a_warning(self, clients):
        clients.write(Dockerfile="from x\n")
        assert "Command 'from' should be uppercase" in clients.run("build", ".")

    def test_what_is_unknown(self, clients):
        clients.write(Dockerfile="FROM x\n")
        assert "unknown entitlement some.thing" in clients.run("buildx", "build", "--allow", "some.thing", ".", code=1)

    def test_who_stops_it(self, clients, builder):
        clients.write(Dockerfile="FROM x\nWAIT here\n")
        process = clients.begin("build", ".")
        self.await_build(builder)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert builder.builds[0].cancelled.wait(PATIENCE_S)
        taken = time.monotonic() - begun
        said = process.communicate(timeout=PATIENCE_S)[0]
        assert process.returncode == 1
        assert "context canceled" in said
        assert taken < 3, "it was cancelled by the client, and not by its end: it waits three seconds for a build"
        assert builder.builds[0].closed.wait(PATIENCE_S)
        assert builder.exports == []

    def test_who_dies(self, clients, builder):
        clients.write(Dockerfile="FROM x\nWAIT here\n")
        process = clients.begin("build", ".")
        self.await_build(builder)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_S)
        assert builder.builds[0].closed.wait(PATIENCE_S)

    def await_build(self, builder):
        limit = time.monotonic() + PATIENCE_S
        while not builder.contexts and time.monotonic() < limit:
            time.sleep(0.02)
        assert builder.contexts

    def test_the_engine_ends(self, clients, builder):
        clients.write(Dockerfile="FROM x\nWAIT here\n")
        process = clients.begin("build", ".")
        self.await_build(builder)
        frontend = clients.served.frontend
        assert not frontend.drain(0.3)  # a build goes on
        frontend.__exit__(None, None, None)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert builder.builds[0].closed.wait(PATIENCE_S)

    def test_an_engine_that_drains_lets_builds_end(self, clients, builder):
        clients.write(Dockerfile="FROM x\nWAIT here\nLEND secret s\n", s="word")
        process = clients.begin("build", "--secret", "id=s,src=s", ".")
        self.await_build(builder)
        drained = []
        thread = threading.Thread(target=lambda: drained.append(clients.served.frontend.drain(PATIENCE_S)))
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()
        builder.go_on.set()
        said = process.communicate(timeout=PATIENCE_S)[0]
        assert process.returncode == 0, said
        thread.join(PATIENCE_S)
        assert drained == [True]


BAKE = """
group "default" { targets = ["top", "other"] }
target "base" {
  tags = ["base:1"]
}
target "top" {
  dockerfile = "Top"
  contexts = { base = "target:base" }
  tags = ["top:1"]
}
target "other" {
  tags = ["other:1"]
}
"""


class TestSeveralBuilds:
    def test_bake_with_a_link(self, clients, builder):
        clients.write(Dockerfile="FROM x\n", Top="FROM base\n")
        (clients.context / "docker-bake.hcl").write_text(BAKE)
        clients.run("buildx", "bake")
        names = {export.names: result for result, (export,), _ in builder.exports}
        assert set(names) == {("base:1",), ("top:1",), ("other:1",)}
        (top,) = [each for each in builder.requests if each.dockerfile == "Top"]
        assert top.contexts == {"base": f"result:{names['base:1',].targets[0].reference}"}

    def test_bake_with_a_link_of_several_platforms(self, clients, builder):
        clients.write(Dockerfile="FROM x\n", Top="FROM base\n")
        (clients.context / "docker-bake.hcl").write_text(BAKE)
        clients.run("buildx", "bake", "--set", "*.platform=linux/amd64,linux/arm64", "top")
        (top,) = [each for each in builder.requests if each.dockerfile == "Top"]
        assert set(top.contexts) == {"base::linux/amd64", "base::linux/arm64"}
        assert all(each.removeprefix("result:") in builder.results for each in top.contexts.values())

    def test_compose(self, clients, builder):
        if not (ROOT / PLUGINS / "docker-compose").exists():
            pytest.skip("compose is not there; `tools/peers compose` unpacks it")
        clients.write(Dockerfile="FROM x\n", Other="FROM y\n")
        (clients.context / "compose.yaml").write_text(
            'services:\n  a: {build: {context: ., args: {A: "1"}}}\n  b: {build: {context: ., dockerfile: Other}}\n'
        )
        clients.run("compose", "build")
        assert sorted(export.names[0] for _, (export,), _ in builder.exports) == ["context-a", "context-b"]
        assert builder.requests[0].labels["com.docker.compose.project"] == "context"


class TestCache:
    def test_what_it_takes(self, clients):
        said = clients.run("buildx", "du", "--verbose")
        for each in ("[1/2] RUN make", "exec.cachemount", "zero"):
            assert each in said
        assert "two" not in clients.run("buildx", "du", "--filter", "type=regular")
        assert "invalid filter" in clients.run("buildx", "du", "--filter", "colour=red", code=1)
        said = clients.run("system", "df")
        assert "Build Cache     3" in said

    def test_a_prune(self, clients, builder):
        said = clients.run(
            "buildx", "prune", "-f", "--all", "--keep-storage", "1kb", "--filter", "until=24h", "--filter", "id=ab"
        )
        assert "1.02kB" in said
        (keep,) = builder.pruned
        assert keep.filters == {"id": ["ab"]}
        assert (keep.all, keep.reserved_bytes, keep.age_ns) == (True, 1024, 24 * 3600 * 10**9)
        assert "a prune can't choose by" in clients.run("buildx", "prune", "-f", "--filter", "mutable=true", code=1)

    def test_who_builds(self, clients):
        assert "moby" in clients.run("buildx", "inspect")
        assert f"linux/{Platform.host().architecture}" in clients.run("buildx", "ls")
