"""Assemblies and distributions in an image registry: sent, extended pinned by digest, and what is hostile there."""

import json
import shutil
from pathlib import Path

import pytest
from attrs import define, field
from image_registry.services.faulty import Faulty
from image_registry.services.real import registry

import moby
from moby import resolution, sharing
from moby.contracts.image_registry import Manifest
from moby.contracts.types import ImageReference
from moby.distribution.publishing import push
from moby.errors import Corrupt, HostUnfit, Invalid, NotFound, Unsupported
from moby.oci import digest as digests

BASE = "moby: 1\nextends: [quickstart]\ncomponents: {command: [run]}\n"
MAIN = "moby: 1\nname: shared\nextends: [parts/base.yaml]\n"


@define
class Service:
    """An image registry in memory; it counts what it is asked."""

    blobs: dict[str, bytes] = field(factory=dict)
    manifests: dict[str, Manifest] = field(factory=dict)
    asked: int = 0

    def saved(self, server):
        return None

    def push_blob(self, reference, digest, size, content, credentials=None, **more):
        self.blobs[str(digest)] = content().read()

    def push_manifest(self, reference, manifest, credentials=None):
        self.manifests[str(manifest.digest)] = self.manifests[reference.tag] = manifest
        return manifest.digest

    def resolve(self, reference, credentials=None):
        if reference.tag not in self.manifests:
            raise NotFound("no such tag")
        found = self.manifests[reference.tag]
        return found.digest, found.media_type, len(found.data)

    def manifest(self, reference, credentials=None):
        self.asked += 1
        return self.manifests[str(reference.digest)]

    def blob(self, reference, digest, size, credentials=None, *, offset=0):
        yield self.blobs[str(digest)]


@pytest.fixture
def service():
    return Service()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "moby" / "assemblies"


@pytest.fixture
def written(tmp_path):
    """A manifest that extends another beside it, and a shipped one."""
    (tmp_path / "mine/parts").mkdir(parents=True)
    (tmp_path / "mine/parts/base.yaml").write_text(BASE)
    (tmp_path / "mine/shared.yaml").write_text(MAIN)
    return tmp_path / "mine/shared.yaml"


def sent(service, files, kind=sharing.ASSEMBLY):
    """Send what a stranger might: any names, any content."""
    layers = []
    for name, data in files:
        digest = str(digests.sha256(data))
        service.blobs[digest] = data
        layers.append({"digest": digest, "size": len(data), "annotations": {sharing.TITLE: name}})
    return raw(service, json.dumps({"artifactType": kind, "layers": layers}).encode())


def raw(service, data):
    digest = digests.sha256(data)
    service.push_manifest(ImageReference("example.org", "x", "1"), Manifest(digest, sharing.MANIFEST, data))
    return f"oci://example.org/x@{digest}"


def test_a_real_image_registry_keeps_it(written, tmp_path):
    with registry(tmp_path / "registry") as host:
        pinned = push(str(written), f"{host}/assemblies/shared:1").pinned
        assert pinned.startswith(f"oci://{host}/assemblies/shared@sha256:")
        (tmp_path / "mine.yaml").write_text(f"moby: 1\nname: mine\nextends: ['{pinned}']\n")
        found = resolution.resolve_file(str(tmp_path / "mine.yaml"))
        assert {each.facts.id for each in found.engine.of_kind("command")} == {"command/run"}
        with pytest.raises(Invalid) as caught:
            (tmp_path / "loose.yaml").write_text(f"moby: 1\nextends: ['oci://{host}/assemblies/shared:1']\n")
            resolution.resolve_file(str(tmp_path / "loose.yaml"))
        (problem,) = caught.value.problems
        assert "isn't pinned, and may be another tomorrow" in problem.message
        assert problem.fixes == (pinned,)
    # The image registry has gone; what was fetched stays.
    assembly = moby.load(tmp_path / "mine.yaml")
    shared, base = f"{pinned}#parts/base.yaml", pinned
    assert [each for each in assembly.files if each.startswith("oci")] == [shared, base]
    assert str(assembly.where("components.command")) == f"{shared}:3:14"


def test_a_lock_names_it_wherever_the_manifest_lies(written, tmp_path, service, monkeypatch):
    monkeypatch.setattr(sharing, "_client", lambda: service)
    pinned = push(str(written), "example.org/shared:1").pinned
    from moby import distribution

    found = []
    for place in ("one", "two/deep"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "mine.yaml").write_text(f"moby: 1\nname: mine\nextends: ['{pinned}']\n")
        found.append(distribution.lock(str(tmp_path / place / "mine.yaml"))[1])
    assert found[0] == found[1]
    assert [each.name for each in found[0].manifests] == [
        "shipped:quickstart.yaml", f"{pinned}#parts/base.yaml", pinned, "mine.yaml",
    ]  # fmt: skip
    assert service.asked == 1


def test_a_distribution_is_sent_whole(tmp_path, service, monkeypatch):
    monkeypatch.setattr(sharing, "_client", lambda: service)
    from moby.distribution.output import write_sums

    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "engine.pyz").write_bytes(b"#!/usr/bin/python3\n")
    with pytest.raises(NotFound, match="is no folder that assembling made"):
        push(str(folder), "example.org/engine:1")
    write_sums(folder)
    sent_to = push(str(folder), "example.org/engine:1").reference
    manifest = json.loads(service.manifests[str(sent_to.digest)].data)
    assert manifest["artifactType"] == sharing.DISTRIBUTION
    assert [each["annotations"][sharing.TITLE] for each in manifest["layers"]] == ["SHA256SUMS", "engine.pyz"]
    with pytest.raises(Unsupported, match=r"is no assembly, but application/vnd\.moby\.distribution"):
        sharing.fetched(f"oci://example.org/engine@{sent_to.digest}", client=service)


def test_a_manifest_that_reaches_out_of_its_folder_is_not_sent(written, tmp_path):
    (tmp_path / "out.yaml").write_text("moby: 1\n")
    written.write_text(MAIN.replace("parts/base.yaml", "../out.yaml"))
    with pytest.raises(Invalid, match="which lies outside its folder"):
        push(str(written), "example.org/shared:1")


def test_what_is_fetched_stays_in_its_folder(tmp_path, service):
    (tmp_path / "secret.yaml").write_text("moby: 1\n")
    pinned = sent(service, [("main.yaml", f"moby: 1\nextends: ['{tmp_path}/secret.yaml']\n".encode())])
    (tmp_path / "mine.yaml").write_text(f"moby: 1\nname: mine\nextends: ['{pinned}']\n")
    with pytest.raises(Invalid) as caught:
        moby.manifest.load(str(tmp_path / "mine.yaml"), fetch=lambda where: sharing.fetched(where, client=service))
    assert "it leaves its artifact" in caught.value.problems[0].message


@pytest.mark.parametrize(
    "name",
    ["../x.yaml", "/etc/x.yaml", "a/../../x", ".order", "a//b", "", "a/.hidden", "a\nb", "x" * 256, "ü" * 128, 7, []],
)
def test_hostile_names(service, cache, name):
    pinned = sent(service, [(name, b"moby: 1\n")])
    with pytest.raises(Corrupt, match="isn't inside its folder"):
        sharing.fetched(pinned, client=service)
    assert not cache.exists()


@pytest.mark.parametrize("names", [["x", "y", "x"], ["x/y", "x"]], ids=["twice", "folder"])
def test_names_that_cannot_be_beside_each_other(service, cache, names):
    pinned = sent(service, [(name, f"moby: 1\nname: n{at}\n".encode()) for at, name in enumerate(names)])
    with pytest.raises(Corrupt, match="has two files called 'x', or a folder of that name"):
        sharing.fetched(pinned, client=service)
    assert not cache.exists()


def test_what_an_artifact_extends_may_lie_anywhere_in_it(written, tmp_path, service, monkeypatch):
    """As it may where it was written: `push` takes it, so that who fetches it can use it."""
    monkeypatch.setattr(sharing, "_client", lambda: service)
    (tmp_path / "mine/base.yaml").write_text(BASE)
    (tmp_path / "mine/parts/base.yaml").write_text("moby: 1\nextends: [../base.yaml]\n")
    pinned = push(str(written), "example.org/shared:1").pinned
    (tmp_path / "mine.yaml").write_text(f"moby: 1\nname: mine\nextends: ['{pinned}']\n")
    found = moby.load(tmp_path / "mine.yaml")
    assert str(found.where("components.command")) == f"{pinned}#base.yaml:3:14"


@pytest.mark.parametrize("deep", ["../../secret.yaml", "../../../secret.yaml", "../parts/../../secret.yaml"])
def test_what_lies_deep_in_an_artifact_leaves_it_no_more_than_others(tmp_path, service, cache, deep):
    cache.mkdir(parents=True)
    for place in (cache, cache.parent, tmp_path):
        (place / "secret.yaml").write_text("moby: 1\n")
    base = f"moby: 1\nextends: ['{deep}']\n".encode()
    pinned = sent(service, [("parts/base.yaml", base), ("main.yaml", b"moby: 1\nextends: [parts/base.yaml]\n")])
    (tmp_path / "mine.yaml").write_text(f"moby: 1\nname: mine\nextends: ['{pinned}']\n")
    with pytest.raises(Invalid) as caught:
        moby.manifest.load(str(tmp_path / "mine.yaml"), fetch=lambda where: sharing.fetched(where, client=service))
    assert "it leaves its artifact" in caught.value.problems[0].message


def is_base(path):
    return path.read_bytes() == BASE.encode()


def test_an_image_registry_that_lies_about_a_digest(written, tmp_path, cache):
    """Neither another manifest nor other files are taken for those that were pinned, and nothing of them is kept."""
    with registry(tmp_path / "registry") as host, Faulty(host) as faulty:
        pinned = push(str(written), f"{host}/assemblies/shared:1").pinned.replace(host, faulty.host)
        (tmp_path / "mine.yaml").write_text(f"moby: 1\nname: mine\nextends: ['{pinned}']\n")
        for lie in ("flip", "longer"):
            setattr(faulty.faults, lie, True)
            with pytest.raises(Invalid) as caught:
                moby.load(tmp_path / "mine.yaml")
            setattr(faulty.faults, lie, False)
            (problem,) = caught.value.problems
            assert problem.message.startswith("can't extend 'oci://")
            assert ("is not what its digest" if lie == "flip" else "is longer than") in problem.message
            assert list(cache.glob("*")) == []
        (kept,) = [each for each in (tmp_path / "registry").rglob("data") if each.is_file() and is_base(each)]
        kept.write_bytes(BASE.upper().encode())
        with pytest.raises(Invalid, match=r"blob of .* is not what its digest"):
            moby.load(tmp_path / "mine.yaml")
        assert list(cache.glob("*")) == []
        kept.write_text(BASE)
        assert moby.load(tmp_path / "mine.yaml").name == "mine"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "is no assembly that `moby push` sent", id="nothing"),
        pytest.param(b"[]", "is no assembly that `moby push` sent", id="list"),
        pytest.param(b'{"layers": [{"digest": "sha256:zz"}]}', "is no assembly that", id="no-names"),
        pytest.param(b'{"layers": []}', "is no assembly, but an image", id="image"),
        pytest.param(b'{"layers": [], "artifactType": "text/x"}', "but text/x", id="other-artifact"),
        pytest.param(b"[" * 100_000, "is no assembly that", id="deep"),
    ],
)
def test_what_is_no_assembly(service, data, message):
    with pytest.raises(Unsupported, match=message):
        sharing.fetched(raw(service, data), client=service)


def test_too_much(service):
    for files in ([("x.yaml", b" " * 2_000_000)], [(f"{number}.yaml", b"") for number in range(300)]):
        with pytest.raises(Unsupported, match="more or bigger files"):
            sharing.fetched(sent(service, files), client=service)


def test_a_fetch_that_breaks_off_leaves_nothing(service, cache):
    pinned = sent(service, [("x.yaml", b"moby: 1\n")])
    kept = service.blobs.copy()
    service.blobs.clear()
    with pytest.raises(KeyError):
        sharing.fetched(pinned, client=service)
    assert list(cache.iterdir()) == []
    service.blobs.update(kept)
    assert sharing.fetched(pinned, client=service).read_text() == "moby: 1\n"


def test_one_that_is_not_pinned_and_cannot_be_asked(service):
    with pytest.raises(Invalid) as caught:
        sharing.fetched("oci://example.org/x:7", client=service)
    assert caught.value.hint == "add the digest: oci://example.org/x:7@sha256:..."


def test_without_a_home(service, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(HostUnfit, match="no folder to keep what is fetched") as caught:
        sharing.fetched(sent(service, [("x.yaml", b"moby: 1\n")]), client=service)
    assert caught.value.hint == "set XDG_CACHE_HOME"


def test_without_a_client(monkeypatch):
    from moby.registry import Catalog

    monkeypatch.setattr("moby.registry.discover", Catalog)
    with pytest.raises(NotFound, match="no part of the kind image-registry is installed"):
        sharing.fetched(f"oci://example.org/x@sha256:{'0' * 64}")


def test_the_verb(written, tmp_path, monkeypatch, service):
    from click.testing import CliRunner

    from moby.cli.push import command

    monkeypatch.setattr(sharing, "_client", lambda: service)
    said = CliRunner().invoke(command, [str(written), "example.org/shared:1"])
    assert said.output.startswith("oci://example.org/shared@sha256:")
    told = json.loads(CliRunner().invoke(command, [str(written), "example.org/shared:1", "--json"]).output)
    assert told["pinned"] == said.output.strip()
    assert told["reference"] == f"example.org/shared:1@{told['pinned'].partition('@')[2]}"
    shutil.rmtree(tmp_path / "mine")
    assert sharing.fetched(told["pinned"], client=service).read_text() == MAIN
