"""What a client's part of a build looks at, on real parts: files of snapshots, configs of images."""

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from building_engines import Engine, box_root
from moby_frontend.docker.buildkit import services
from moby_frontend.docker.buildkit.building import Building
from moby_frontend.docker.buildkit.jobs import Job
from moby_frontend.docker.buildkit.protocol.common import PbPlatform
from moby_frontend.docker.buildkit.protocol.control import SolveRequest
from moby_frontend.docker.buildkit.protocol.gateway import (
    FileRange,
    GatewaySolve,
    ImageConfigRequest,
    ReadDirRequest,
    ReadFileRequest,
    StatFileRequest,
)

from moby.contracts.builder import Keep
from moby.errors import NotFound, Unavailable
from moby.oci.reference import parse
from moby.testing.lending import Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

OTHER = PbPlatform("s390x", "linux")
BRIDGE = "/moby.buildkit.v1.frontend.LLBBridge/"
DOCKERFILE = "FROM box\nCOPY a /d/\nCOPY links /\nRUN cat /d/a > /b && rm /etc/group\n"


class Renamed(Lending):
    def renamed(self, names):
        return self


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with own_mounts(shared=True), own_network(), Engine(folder, box_root(folder)) as engine:
        yield engine
        assert [each.key for each in engine.snapshotter.list() if each.key.startswith("builder/active")] == []
        assert not list((folder / "run/builder/mounts").iterdir())


@pytest.fixture
def context(tmp_path):
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "a").write_text("0123456789")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/link").symlink_to("/d/a")
    (tmp_path / "links/out").symlink_to(f"../../../../{tmp_path}/a")
    return tmp_path


@contextmanager
def begun(engine, context):
    """Lend what asks for something in a new build, and the build."""
    building = Building()
    building.sessions.add("s", Renamed({"context": context}))
    job = Job(SolveRequest("one", session="s"), engine.builder, building.sessions)
    building.jobs.add("one", job)
    methods = services.methods(SimpleNamespace(building=building), engine.builder)
    call = SimpleNamespace(metadata={"buildkit-controlapi-buildid": "one"}, when_lost=lambda call: None)
    try:
        yield lambda name, asked: methods[BRIDGE + name].handler(call, asked), job
    finally:
        job.close()


def test_files_of_a_result(engine, context):
    with begun(engine, context) as (bridge, job):
        ref = bridge("Solve", GatewaySolve(frontend="dockerfile.v0")).result.ref.id
        for path in ("/d/a", "b", "link"):
            assert bridge("ReadFile", ReadFileRequest(ref, path, FileRange(3, 4))).data == b"3456"
        names = {each.path for each in bridge("ReadDir", ReadDirRequest(ref, "etc")).entries}
        assert "passwd" in names
        assert "group" not in names  # which a layer took away
        found = bridge("StatFile", StatFileRequest(ref, "link")).stat
        assert (found.path, found.size, found.link) == ("a", 10, "")
        assert not any("overlay" in each for each in found.xattrs)
        with pytest.raises(NotFound, match="open out: no such file or directory"):
            bridge("ReadFile", ReadFileRequest(ref, "out"))
        job.cancel()
        with pytest.raises(Unavailable, match="context canceled"):
            bridge("ReadFile", ReadFileRequest(ref, "b"))


def test_a_result_of_another_build(engine, context):
    """By its graph, as a linked build has it; until it is pruned."""
    with begun(engine, context) as (bridge, _):
        graph = bridge("Solve", GatewaySolve(frontend="dockerfile.v0")).result.ref.definition
    with begun(engine, context) as (bridge, _):
        ref = bridge("Solve", GatewaySolve(definition=graph)).result.ref.id
        assert bridge("ReadFile", ReadFileRequest(ref, "b")).data == b"0123456789"
    engine.builder.prune(Keep(all=True))
    with begun(engine, context) as (bridge, _):
        ref = bridge("Solve", GatewaySolve(definition=graph)).result.ref.id
        with pytest.raises(NotFound, match=r"no result of a build is known as|isn't kept any more"):
            bridge("ReadFile", ReadFileRequest(ref, "b"))


def test_configs_of_images(engine, context):
    """Of one that is here, and of one that is in an image registry alone, which it is then still."""
    away = parse("example.org/away:1")
    engine.images.tag("box", away)
    for _ in engine.images.push(away):
        pass
    [pushed] = engine.images.get(str(away)).digests
    engine.images.remove(str(away))
    with begun(engine, context) as (bridge, _):
        found = bridge("ResolveImageConfig", ImageConfigRequest("box"))
        assert json.loads(found.config) == engine.images.get("box").raw_config
        found = bridge("ResolveImageConfig", ImageConfigRequest(str(away), mode="local"))
        assert (found.digest, found.reference) == (str(pushed.digest), str(away))
        assert json.loads(found.config)["config"]["Cmd"] == ["sh"]
        with pytest.raises(NotFound):
            engine.images.get(str(away))
        with pytest.raises(NotFound, match=r"^[^:]*example\.org/nowhere:1"):
            bridge("ResolveImageConfig", ImageConfigRequest("example.org/nowhere:1"))
        with pytest.raises(NotFound, match=r"example\.org/away:1"):
            bridge("ResolveImageConfig", ImageConfigRequest(str(away), mode="pull", platform=OTHER))
