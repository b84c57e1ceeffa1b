"""Debian's buildah as a builder."""

import io
import sys
import tarfile
from pathlib import Path

import pytest
from building_engines import Pantry, box_root
from moby_builder.buildah.placing import Placing
from moby_builder.buildah.reading import images_of, line_of, secrets_of
from moby_builder.buildah.service import Service
from moby_builder.buildah.tool import Tool
from peers.binaries import ROOT, need
from runs import place

from moby.contracts.builder import (
    BuildFailed,
    CacheExport,
    CacheSource,
    Entry,
    Export,
    ExportType,
    Keep,
    Range,
    Request,
)
from moby.contracts.types import Mount, Platform
from moby.errors import HostUnfit, Invalid, Unsupported
from moby.host.overlay import mount_root
from moby.oci.reference import parse
from moby.testing.builder import BuilderSuite, Workshop, building
from moby.testing.lending import Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow
OURS = Path(sys.executable).parent / "moby-runtime"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Have buildah where it would be if it were installed."""
    need("buildah", "buildah")
    with own_mounts(shared=True), own_network():
        for name in ("usr", "etc"):
            lower = f"lowerdir={ROOT}/{name}:/{name}"
            mount_root((Mount(f"/{name}", "overlay", "overlay", (lower,)),), f"/{name}")
        yield


@pytest.fixture(scope="module")
def pantry(tmp_path_factory, installed):
    folder = tmp_path_factory.mktemp("pantry")
    with Pantry(folder, box_root(folder)) as pantry:
        yield pantry


@pytest.fixture(scope="module")
def builder(pantry):
    where = place(pantry.root, "builder")
    tool = Tool(where, binary="", isolation="chroot", runtime="", storage="overlay")
    with Service(tool, pantry.images, where, pantry.log) as builder:
        yield builder
        builder.prune(Keep(all=True))


@pytest.fixture(scope="module")
def shop(pantry, builder, tmp_path_factory):
    return Workshop(builder, pantry.images, tmp_path_factory.mktemp("contexts"))


class TestBuildah(BuilderSuite):
    @pytest.fixture
    def workshop(self, shop):
        return shop


@pytest.mark.parametrize(
    "asked",
    [
        {"request": "lint"}, {"context": "https://example.org/x.git"}, {"platforms": (Platform("linux", "arm64"),)},
        {"contexts": {"a": "local:b"}}, {"no_cache_stages": ("a",)}, {"attestations": {"sbom": {}}},
        {"cache_from": (CacheSource("local"),)}, {"allow": frozenset({"network.host"})},
    ],
    ids=str,
)  # fmt: skip
def test_what_it_never_does(shop, asked):
    with building(shop, "FROM box\n") as at, pytest.raises(Unsupported, match=next(iter(asked))):
        at.build.solve(Request(**asked))


def test_what_clients_ask_for_by_themselves(shop):
    """Only for where it can be: nobody asked."""
    with building(shop, "FROM scratch\nLABEL a=b\n") as at:
        at.build.solve(Request(attestations={"provenance": {"mode": "min", "inline-only": "true"}}))


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "file"])
def test_a_context_that_is_sent(builder, packed):
    text = b"FROM scratch\nCOPY . /\n" if packed else b"FROM scratch\nLABEL a=b\n"
    sent = archive_of(Dockerfile=text, file=b"sent") if packed else text
    session = Lending(streams={"here": sent})
    build = builder.open(session, lambda event: None)
    try:
        result = build.solve(Request(context="stream:here"))
        with build.files(result.targets[0]) as root:
            assert sorted(each.name for each in root.iterdir()) == (["Dockerfile", "file"] if packed else [])
            assert not packed or (root / "file").read_bytes() == b"sent"
    finally:
        build.close()


def archive_of(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("path", ["Dockerfile", "../outside", "nowhere"])
def test_dockerfiles_that_lead_elsewhere(builder, tmp_path, path):
    """Nothing but what is lent is read, and shown in an error."""
    (tmp_path / "outside").write_text("SECRET x\n")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").symlink_to(tmp_path / "outside")
    build = builder.open(Lending({"context": context}), lambda event: None)
    try:
        with pytest.raises(BuildFailed, match=f"failed to read dockerfile: open {path}: no such file"):
            build.solve(Request(dockerfile=path))
    finally:
        build.close()


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.FIFOTYPE], ids=["folder", "pipe"])
def test_a_dockerfile_that_is_no_file(builder, kind):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.type = kind
        tar.addfile(entry)
    build = builder.open(Lending(streams={"here": out.getvalue()}), lambda event: None)
    try:
        with pytest.raises(BuildFailed, match="failed to read dockerfile: open Dockerfile: no regular file"):
            build.solve(Request(context="stream:here"))
    finally:
        build.close()


def test_what_it_never_gives(shop):
    with building(shop, "FROM scratch\nLABEL a=b\n") as at:
        result = at.build.solve(Request())
        with pytest.raises(Unsupported, match="cache"):
            at.build.export(result, [Export(ExportType.TAR)], [CacheExport("inline")])


def test_an_image_is_brought_once(shop, builder, monkeypatch):
    called, call = [], Tool.call
    monkeypatch.setattr(Tool, "call", lambda self, *words: (called.append(words[0]), call(self, *words))[1])
    builder.prune(Keep(all=True))
    for number in range(2):
        with building(shop, f"FROM box\nENV A={number}\n") as at:
            at.build.solve(Request())
    assert called.count("pull") == 1


def test_no_config_for_another_platform(shop):
    with building(shop, "FROM box\n") as at, pytest.raises(Unsupported, match="platforms"):
        at.build.image(parse("box"), Platform("linux", "s390x"))


@pytest.mark.parametrize("keep", [Keep(age_ns=1), Keep(filters={"type": ("regular",)}), Keep(max_bytes=1)], ids=str)
def test_what_it_never_keeps(builder, keep):
    with pytest.raises(Unsupported):
        builder.prune(keep)


def test_no_buildah(pantry, tmp_path):
    where = place(tmp_path, "builder")
    tool = Tool(where, binary="/nowhere/buildah", isolation="chroot", runtime="", storage="overlay")
    with Service(tool, pantry.images, where, pantry.log) as builder, pytest.raises(HostUnfit, match="install"):
        builder.usage()


def test_run_by_a_runtime(pantry, tmp_path):
    """The other way to confine RUN; hosts with hybrid control groups have no crun for it."""
    where = place(tmp_path, "builder")
    tool = Tool(where, binary="", isolation="oci", runtime=str(OURS), storage="overlay")
    with Service(tool, pantry.images, where, pantry.log) as builder:
        shop = Workshop(builder, pantry.images, tmp_path)
        with building(shop, "FROM box\nRUN echo here; cat /proc/self/cgroup\n") as at:
            at.build.solve(Request(network="none"))
            assert any(b"here" in getattr(each, "data", b"") for each in at.events)
        builder.prune(Keep(all=True))


FILE = """# syntax=x
ARG TAG=1
FROM base:${TAG} AS one
FROM --platform=linux/amd64 other:${MISSING:-2}
COPY --from=one /a \\
  # between
  /b
COPY --from=third/party /a /b
RUN --mount=type=bind,from=tools,target=/t \\
    --mount=type=secret,id=key --mount=type=secret,target=/run/secrets/pass true
FROM scratch
COPY --from=0 /a /
"""


def test_content_that_nobody_asked_for(tmp_path):
    placing = Placing(tmp_path)
    assert placing.entry(Entry("a", 0o100444, 0, 0, 1, 1))
    placing.content("a", b"x")
    with pytest.raises(Invalid, match="'b' wasn't asked for"):
        placing.content("b", b"x")
    placing.content("a", b"")
    assert ((tmp_path / "a").read_text(), (tmp_path / "a").stat().st_mode & 0o777) == ("x", 0o444)
    with pytest.raises(Invalid, match="'a' wasn't asked for"):
        placing.content("a", b"x")
    placing.close()


def test_what_a_file_names():
    assert images_of(FILE, {}) == ("base:1", "other:2", "third/party", "tools")
    assert images_of(FILE, {"TAG": "9"})[0] == "base:9"
    assert secrets_of(FILE) == ("key", "pass")


def test_lines():
    assert line_of(FILE, "COPY /a   /b") == (Range(5, 7),)
    assert line_of(FILE, "RUN true") == (Range(9, 10),)
    assert line_of(FILE, "RUN false") == ()
    assert line_of("RUN a \\", "RUN a") == (Range(1, 1),)
