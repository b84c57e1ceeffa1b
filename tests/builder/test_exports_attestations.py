"""What is attested of images, on real parts; buildx reads it out of a real image registry."""

import io
import json
import os
import subprocess
import tarfile

import pytest
from exporting import EPOCH, HOST, opened_yard, solution, solved
from image_registry.services.real import registry
from moby_builder.dockerfile.exports.attestations.packages import Package, distribution_of, packages_in
from moby_builder.dockerfile.operations import (
    Copy,
    CopySource,
    EmptySource,
    GitSource,
    HttpSource,
    ImageSource,
    LayoutSource,
    LocalSource,
    MakeFolder,
    MountKind,
    Node,
    Run,
    RunMount,
    StreamSource,
)
from peers.binaries import environment, need
from peers.binaries import file as file_of

from moby.contracts.builder import Export, ExportType, Range, Request
from moby.errors import Invalid, Unsupported
from moby.oci.digest import sha256
from moby.oci.reference import parse
from moby.testing.images import add, layer_of
from moby.testing.mounted import own_mounts
from moby.testing.snapshotter import tar
from moby.values import evolve

IMAGE, OCI, DOCKER, TAR, LOCAL = ExportType
HEX = sha256(b"base").hex
STATUS = """\
Package: libc6
Status: install ok installed
Version: 2.36-9
Architecture: amd64
Description: library
 of C

Package: gone
Status: deinstall ok config-files
Version: 1
"""
_METADATA = b"Metadata-Version: 2.1\nName: Attrs_X\nVersion: 23.1\nLicense: MIT\n\nName: no\n"
FILES = {
    "etc/os-release": b'NAME="Debian"\nID=debian\n',
    "var/lib/dpkg/status": STATUS.encode(),
    "var/lib/dpkg/status.d/tzdata": b"Package: tzdata\nVersion: 2024a\n",
    "lib/apk/db/installed": b"P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\nP:busybox\nV:1.36\n",
    "var/lib/rpmmanifest/container-manifest-2": b"bash\t5.1-6\t1\t2\tvendor\t(none)\t3\tx86_64\t0\tsrc\nshort\tline\n",
    "usr/lib/python3/attrs-23.dist-info/METADATA": _METADATA,
    "usr/lib/python3/old.egg-info/PKG-INFO": b"Name: old\nVersion: 1\n",
    "app/node_modules/left/package.json": b'{"name": "left", "version": "1.0.0", "license": "ISC"}',
    "app/node_modules/@a/b/package.json": b'{"name": "@a/b", "version": "2.0.0", "license": {"type": "MIT"}}',
    "app/node_modules/left/test/package.json": b'{"name": "no", "version": "1"}',
    "app/node_modules/bad/package.json": b"{",
    "app/node_modules/worse/package.json": b"[1]",
    "app/package.json": b'{"name": "no", "version": "1"}',
}
FOUND = [
    "pkg:apk/debian/busybox@1.36", "pkg:apk/debian/musl@1.2.4-r2?arch=x86_64", "pkg:deb/debian/libc6@2.36-9?arch=amd64",
    "pkg:deb/debian/tzdata@2024a", "pkg:npm/%40a/b@2.0.0", "pkg:npm/left@1.0.0", "pkg:pypi/attrs-x@23.1",
    "pkg:pypi/old@1", "pkg:rpm/debian/bash@5.1-6?arch=x86_64",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def apart():
    with own_mounts(shared=True):
        yield


@pytest.fixture
def yard(tmp_path):
    with opened_yard(tmp_path / "yard") as yard:
        yield yard


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def built(yard, *, epoch_s=None, request=None, **wanted):
    base = add(yard.images, "base", layer_of(FILES))
    below = yard.images.snapshot(base)
    top = yard.layer("1", tar(made=b"2"), below)
    source = Node(ImageSource(parse("base:1"), HOST), platform=HOST)
    context = Node(LocalSource("context"), platform=HOST)
    remote = Node(HttpSource("https://example.org/f", "f"), platform=HOST)
    mount = RunMount(MountKind.BIND, "/src", input=1)
    run = Node(Run(("make",), ("A=b",), mounts=(mount,)), (source, context, remote), HOST, ranges=(Range(2, 3),))
    target = evolve(
        solved(top, "base", "RUN make", base=below), root=run,
        identities={source.digest: f"sha256:{HEX}", remote.digest: "no digest"},
    )  # fmt: skip
    request = evolve(request or Request(arguments={"K": "v"}, target="t"), attestations=wanted)
    return solution(target, epoch_s=epoch_s, request=request, file="Dockerfile", source="FROM base:1\nRUN \\\n make\n")


def statements(data):
    """Return an archive's index, and the predicates by type with what they are about."""
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        blobs = {each.name: found.extractfile(each).read() for each in found if each.isfile()}

    def read(described):
        return json.loads(blobs[f"blobs/sha256/{described['digest'][7:]}"])

    index = read(json.loads(blobs["index.json"])["manifests"][0])
    attested = index["manifests"][-1]
    made = {}
    for each in read(attested)["layers"]:
        statement = read(each)
        assert each["mediaType"] == "application/vnd.in-toto+json"
        assert each["annotations"]["in-toto.io/predicate-type"] == statement["predicateType"]
        made[statement["predicateType"]] = statement
    return index, made


def test_attestations_of_an_image(yard):
    """Are beside its manifest in an index, which names it."""
    wanted = built(yard, provenance={"mode": "min", "type": "provenance"}, sbom={"type": "sbom"})
    [done] = yard.export(wanted, Export(OCI, 1, ("app:1", "me/app:2")))
    index, made = statements(yard.client.streams[1].taken)
    image, attested = index["manifests"]
    assert (image["platform"]["architecture"], attested["platform"]["architecture"]) == (HOST.architecture, "unknown")
    assert attested["annotations"] == {
        "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"],
    }  # fmt: skip
    assert set(made) == {"https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"}
    for each in made.values():
        quoted = str(HOST).replace("/", "%2F")
        assert [subject["name"] for subject in each["subject"]] == [
            f"pkg:docker/app@1?platform={quoted}", f"pkg:docker/me/app@2?platform={quoted}",
        ]  # fmt: skip
        assert {subject["digest"]["sha256"] for subject in each["subject"]} == {image["digest"][7:]}
    assert done.media_type.endswith("index.v1+json")


def test_provenance(yard):
    """Tells materials and parameters; arguments, steps and the file itself only for the mode max."""
    yard.export(built(yard, provenance={"builder-id": "https://me", "reproducible": "true"}), Export(OCI, 1))
    _, made = statements(yard.client.streams[1].taken)
    found = made["https://slsa.dev/provenance/v0.2"]["predicate"]
    assert (found["builder"], found["buildType"]) == ({"id": "https://me"}, "https://mobyproject.org/buildkit@v1")
    assert found["materials"] == [
        {"uri": f"pkg:docker/base@1?platform={str(HOST).replace('/', '%2F')}", "digest": {"sha256": HEX}},
        {"uri": "https://example.org/f", "digest": {}},
    ]  # fmt: skip
    assert found["invocation"] == {
        "configSource": {"entryPoint": "Dockerfile"}, "environment": {"platform": str(HOST)},
        "parameters": {"frontend": "dockerfile.v0", "args": {"target": "t"}, "locals": [{"name": "context"}]},
    }  # fmt: skip
    assert found["metadata"]["completeness"] == {"parameters": False, "environment": True, "materials": False}
    assert found["metadata"]["reproducible"] is True
    assert "buildConfig" not in found
    yard.export(built_max(yard), Export(OCI, 1))
    _, made = statements(yard.client.streams[1].taken)
    found = made["https://slsa.dev/provenance/v0.2"]["predicate"]
    assert found["invocation"]["parameters"]["args"] == {"build-arg:K": "v", "label:l": "w", "no-cache": ""}
    steps = found["buildConfig"]["llbDefinition"]
    assert [next(iter(each["op"]["Op"])) for each in steps] == ["source"] * 5 + ["exec", "file", "makefolder"]
    assert steps[-1]["inputs"] == ["step6:0"]
    about = found["metadata"]["https://mobyproject.org/buildkit@v1#metadata"]["source"]
    assert about["locations"] == {"step5": {"locations": [{"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]}]}}
    assert about["infos"][0]["filename"] == "Dockerfile"
    assert found["invocation"]["configSource"] == {
        "entryPoint": "Dockerfile", "uri": "https://example.org/r.git#main", "digest": {"sha1": "a" * 40},
    }  # fmt: skip
    assert found["metadata"]["completeness"] == {"parameters": True, "environment": True, "materials": False}


def test_provenance_of_builds_with_an_epoch(yard):
    """Is the same for two of them, whenever they are."""
    once = built(yard, epoch_s=EPOCH, provenance={"mode": "max"})
    digests = []
    for each in (once, evolve(once, epoch_s=None)):
        later = evolve(each, origin=evolve(each.origin, started_ns=1, completed_ns=2))
        digests.append({yard.export(when, Export(OCI, 1, ("app",)))[0].digest for when in (each, later)})
    assert [len(each) for each in digests] == [1, 2]
    yard.export(once, Export(OCI, 1))
    _, found = statements(yard.client.streams[1].taken)
    times = found["https://slsa.dev/provenance/v0.2"]["predicate"]["metadata"]
    assert times["buildStartedOn"] == times["buildFinishedOn"] == "2020-09-13T12:26:40Z"


def built_max(yard):
    """Return something built of every source."""
    top = yard.layer("max", tar(made=b"2"))
    git = Node(GitSource("https://example.org/r.git", "main"), platform=HOST)
    sources = [Node(EmptySource()), git, Node(StreamSource("s")), Node(LocalSource("c")),
               Node(LayoutSource("store", sha256(b""), HOST))]  # fmt: skip
    run = Node(Run(("x",)), tuple(sources), HOST, ranges=(Range(1, 1),))
    copy = Node(Copy((CopySource(1, "/a"),), "/b"), (run, git), HOST)
    root = Node(MakeFolder("/w"), (copy,), HOST)
    request = Request(
        "https://example.org/r.git#main", arguments={"K": "v"}, labels={"l": "w"}, no_cache=True,
        attestations={"provenance": {"mode": "max"}},
    )  # fmt: skip
    target = evolve(solved(top, "RUN"), root=root, identities={git.digest: "a" * 40})
    return solution(target, request=request, source="FROM x\n")


def test_a_bill_of_materials(yard):
    """Names all packages of every kind, in a document that is always the same."""
    wanted = built(yard, epoch_s=EPOCH, sbom={"inline-only": "false"})
    assert len({yard.export(wanted, Export(OCI, 1, ("app",)))[0].digest for _ in range(2)}) == 1
    _, made = statements(yard.client.streams[1].taken)
    found = made["https://spdx.dev/Document"]["predicate"]
    assert (found["spdxVersion"], found["creationInfo"]["created"]) == ("SPDX-2.3", "2020-09-13T12:26:40Z")
    purls = [ref["referenceLocator"] for each in found["packages"] for ref in each.get("externalRefs", ())]
    assert purls == FOUND
    ids = [each["SPDXID"] for each in found["packages"]]
    assert len(set(ids)) == len(ids)
    related = {each["relatedSpdxElement"] for each in found["relationships"]}
    assert related == set(ids)
    assert [each["licenseComments"] for each in found["packages"] if "licenseComments" in each] == ["MIT", "ISC", "MIT"]


def test_packages_of_a_hostile_tree(tmp_path, monkeypatch):
    """Links are not followed, and what is no regular file is passed over, unopened: it may be a device."""
    opened, really = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **by: opened.append(path) or really(path, *more, **by))
    secret = tmp_path / "secret"
    secret.write_text("Package: secret\nVersion: 1\n")
    root = tmp_path / "root"
    (root / "var/lib/dpkg/status.d").mkdir(parents=True)
    (root / "var/lib/dpkg/status").symlink_to(secret)
    (root / "var/lib/dpkg/status.d/x").symlink_to(secret)
    (root / "etc").symlink_to(tmp_path)
    (tmp_path / "os-release").write_text("ID=outside\n")
    os.mkfifo(root / "var/lib/dpkg/status.d/fifo")
    (root / "var/lib/dpkg/status.d/y").write_bytes(b"\xff\xfe: :\n:\nPackage: y\nVersion: 1\n")
    assert packages_in(root) == (Package("deb", "y", "1", found_in="var/lib/dpkg/status.d/y"),)
    assert ("y" in opened, "fifo" in opened) == (True, False)
    assert distribution_of(root) == ""
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text("NAME=x\nID='alpine'\n")
    (root / "etc").unlink()
    assert distribution_of(root) == "alpine"


def test_statements_beside_files(yard):
    """About each of them; what is for images alone isn't there."""
    wanted = built(yard, sbom={}, provenance={"inline-only": "true"})
    yard.export(wanted, Export(LOCAL, 1, attributes={"attestation-prefix": "p."}), Export(TAR, 2))
    found = yard.client.folders[1]
    assert ("p.sbom.spdx.json" in found, "p.provenance.json" in found) == (True, False)
    statement = json.loads(found["p.sbom.spdx.json"][1])
    assert {"name": "made", "digest": {"sha256": sha256(b"2").hex}} in statement["subject"]
    assert b"sbom.spdx.json" in yard.client.streams[2].taken
    yard.export(built_max(yard), Export(LOCAL, 1))
    assert list(yard.client.folders[1]) == ["made", "provenance.json"]


def test_statements_that_would_be_one_file(yard):
    """Neither takes the other's place."""
    wanted = built(yard, sbom={"filename": "same.json"}, provenance={"filename": "same.json"})
    with pytest.raises(Invalid, match=r"two attestations would be the file 'same\.json'"):
        yard.export(wanted, Export(LOCAL, 1))


def test_dockers_archives_have_none(yard):
    """What is only for images is left out of them, else it is refused; disabled is as if not asked for."""
    yard.export(built(yard, provenance={"inline-only": "true"}), Export(DOCKER, 1))
    assert b"manifest.json" in yard.client.streams[1].taken
    with pytest.raises(Unsupported, match="manifest lists"):
        yard.export(built_max(yard), Export(DOCKER, 1))
    [done] = yard.export(built_disabled(yard), Export(OCI, 1))
    assert done.media_type.endswith("manifest.v1+json")


def built_disabled(yard):
    return solution(solved(""), request=Request(attestations={"provenance": {"disabled": "true"}}))


@pytest.mark.parametrize(
    ("wanted", "error", "text"),
    [
        ({"sbom": {"new": "1"}}, Unsupported, "no attribute 'new'"),
        ({"provenance": {"new": "1"}}, Unsupported, "no attribute 'new'"),
        ({"provenance": {"mode": "most"}}, Invalid, "no mode 'most'"),
        ({"else": {}}, Unsupported, "attestations of type 'else' aren't supported"),
    ],
)
def test_what_is_refused(yard, wanted, error, text):
    with pytest.raises(error, match=text):
        yard.export(solution(solved(""), request=Request(attestations=wanted)), Export(OCI, 1))


def test_buildx_shows_them(yard, service, tmp_path):
    """Of an image in a registry, by `imagetools inspect`."""
    docker = need("docker", "buildx")
    (tmp_path / "cli-plugins").mkdir()
    plugin = file_of("usr/libexec/docker/cli-plugins/docker-buildx", "buildx")
    (tmp_path / "cli-plugins/docker-buildx").symlink_to(plugin)
    name = f"{service}/attested:1"
    wanted = Export(IMAGE, names=(name,), push=True, attributes={"store": "false"})
    yard.export(built(yard, provenance={"mode": "max"}, sbom={}), wanted)

    def shown(what):
        done = subprocess.run(
            [docker, "buildx", "imagetools", "inspect", name, "--format", f"{{{{json .{what}}}}}"],
            env=environment(HOME=str(tmp_path), DOCKER_CONFIG=str(tmp_path)),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    assert shown("Provenance")["SLSA"]["materials"][0]["digest"] == {"sha256": HEX}
    assert shown("SBOM")["SPDX"]["spdxVersion"] == "SPDX-2.3"
