"""Bills of materials that an image makes, by BuildKit's protocol for such images, on real parts."""

import io
import json
import os
import tarfile

import pytest
from building_engines import Engine, box_root
from moby_builder.dockerfile.exports.attestations.bills import Bill, bills_in

from moby.contracts.builder import BuildFailed, Export, ExportType, Request, Vertex
from moby.contracts.types import Platform
from moby.errors import Invalid, NotFound
from moby.testing.lending import Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network
from moby.values import evolve

SPDX = "https://spdx.dev/Document"
SCRIPT = """\
#!/bin/sh
set -e
name=$(cat $BUILDKIT_SCAN_SOURCE/made)
(echo no > $BUILDKIT_SCAN_SOURCE/made) 2>/dev/null && exit 9
for each in sbom more; do
    said="{\\"name\\": \\"$name $each $BUILDKIT_SCAN_HOW $A\\"}"
    echo "{\\"predicateType\\": \\"https://spdx.dev/Document\\", \\"predicate\\": $said}" \
        > $BUILDKIT_SCAN_DESTINATION/$each.spdx.json
done
echo else > $BUILDKIT_SCAN_DESTINATION/notes
"""
GENERATOR = 'FROM box\nENV A=env\nCOPY --chmod=755 scan /scan\nENTRYPOINT ["/scan"]\nCMD []\n'
EXTRAS = """\
#!/bin/sh
[ "$BUILDKIT_SCAN_SOURCE_EXTRAS" ] && cd "$BUILDKIT_SCAN_SOURCE_EXTRAS" &&
    for each in */*; do more="$more$each=$(cat $each) "; done
echo "{\\"predicateType\\": \\"t\\", \\"predicate\\": {\\"more\\": \\"$more\\"}}" > $BUILDKIT_SCAN_DESTINATION/more.json
"""
STAGES = (
    "{}FROM scratch AS one\n{}COPY made /one\nFROM scratch AS two\n{}COPY made /two\n"
    "FROM scratch AS three\nCOPY made /\n"
    "FROM scratch\n{}COPY --from=one one /\nCOPY --from=two two /\n"
)
TARGET = "FROM scratch\nCOPY made /\n"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generators")
    with own_mounts(shared=True), own_network(), Engine(folder, box_root(folder)) as engine:
        (folder / "scan").write_text(SCRIPT)
        build(engine, folder, GENERATOR, Request(), Export(ExportType.IMAGE, names=("generator:1",)))
        build(engine, folder, "FROM box\nCMD true\n", Request(), Export(ExportType.IMAGE, names=("idle:1",)))
        build(engine, folder, "FROM scratch\n", Request(), Export(ExportType.IMAGE, names=("nothing:1",)))
        (folder / "scan").write_text(EXTRAS)
        build(engine, folder, GENERATOR, Request(), Export(ExportType.IMAGE, names=("extras:1",)))
        yield engine


def build(engine, folder, text, request, *exports):
    """Build a file in a folder; return what was delivered, and the steps by name."""
    (folder / "Dockerfile").write_text(text)
    (folder / "made").write_text("product")
    session, events = Lending({"dockerfile": folder, "context": folder}), []
    made = engine.builder.open(session, events.append)
    try:
        made.export(made.solve(request), exports)
    finally:
        made.close()
    return session, {each.name: each for each in events if isinstance(each, Vertex)}


def asked(generator, **attributes):
    return Request(attestations={"sbom": {"type": "sbom", "generator": generator, **attributes}})


def test_an_image_states_what_is_in_another(engine, tmp_path):
    oci = Export(ExportType.OCI, 1, ("app:1",))
    session, steps = build(engine, tmp_path, TARGET, asked("generator:1", HOW="deep"), oci)
    with tarfile.open(fileobj=io.BytesIO(session.received[1].getvalue())) as tar:
        blobs = [tar.extractfile(each).read() for each in tar if each.isfile() and "blobs/" in each.name]
    documents = [json.loads(each) for each in blobs if each.startswith(b"{")]
    stated = [each for each in documents if "predicateType" in each]
    assert [each["predicateType"] for each in stated] == [SPDX, SPDX]
    assert sorted(each["predicate"]["name"] for each in stated) == ["product more deep env", "product sbom deep env"]
    assert {each["subject"][0]["name"].partition("?")[0] for each in stated} == {"pkg:docker/app@1"}
    assert not steps[f"[{Platform.host()}] generating sbom using docker.io/library/generator:1"].cached
    _, steps = build(engine, tmp_path, TARGET, asked("generator:1", HOW="deep"), oci)
    assert steps[f"[{Platform.host()}] taking the sbom of docker.io/library/generator:1"].cached


STAGE, CONTEXT = "ARG BUILDKIT_SBOM_SCAN_STAGE=", "ARG BUILDKIT_SBOM_SCAN_CONTEXT="
ONE, TWO, WHOLE = "sbom-one/one=product ", "sbom-two/two=product ", "sbom-context/made=product "


@pytest.mark.parametrize(
    ("arguments", "given", "expected"),
    [
        (("", "", "", ""), {}, ""),
        (("", f"{STAGE}true\n", "", ""), {}, ONE),
        (("", f"{STAGE}\n", "", f"{STAGE}true\n"), {}, ""),  # the target is scanned anyway
        ((f"{STAGE}1\n", "", f"{STAGE}false\n", ""), {}, ONE),
        ((f"{STAGE}two,three\n", "", "", ""), {}, TWO),
        (("", "", "", ""), {"BUILDKIT_SBOM_SCAN_STAGE": "True"}, ONE + TWO),
        ((f"{STAGE}false\n", "", "", ""), {"BUILDKIT_SBOM_SCAN_STAGE": "one"}, ONE),
        (("", "", "", f"{CONTEXT}true\n"), {}, WHOLE),
        (("", f"{STAGE}true\n", "", ""), {"BUILDKIT_SBOM_SCAN_CONTEXT": "1"}, WHOLE + ONE),
    ],
)
def test_stages_and_the_context_are_scanned_where_arguments_say_so(engine, tmp_path, arguments, given, expected):
    (tmp_path / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    request = evolve(asked("extras:1"), arguments=given)
    session, _ = build(engine, tmp_path, STAGES.format(*arguments), request, Export(ExportType.TAR, 1))
    with tarfile.open(fileobj=io.BytesIO(session.received[1].getvalue())) as tar:
        assert json.load(tar.extractfile("more.json"))["predicate"] == {"more": expected}


def test_statements_beside_files(engine, tmp_path):
    session, _ = build(engine, tmp_path, TARGET, asked("generator:1"), Export(ExportType.LOCAL, 1))
    assert sorted(session.trees[1]) == ["made", "more.spdx.json", "sbom.spdx.json"]


@pytest.mark.parametrize(
    ("generator", "error", "text"),
    [
        ("idle:1", BuildFailed, "/run/out/.*not found"),
        ("nothing:1", Invalid, "scanner docker.io/library/nothing:1 does not have cmd"),
        ("nobody/has:1", NotFound, "nobody/has:1"),
        ("No", Invalid, "the name must be lower case"),
    ],
)
def test_images_that_make_none(engine, tmp_path, generator, error, text):
    with pytest.raises(error, match=text):
        build(engine, tmp_path, TARGET, asked(generator), Export(ExportType.OCI, 1, ("app:1",)))


def test_what_files_state(tmp_path):
    (tmp_path / "b.json").write_text('{"predicateType": "t", "predicate": {"a": 1}, "subject": []}')
    (tmp_path / "a.json").write_text('{"predicateType": "u", "predicate": {}}')
    assert list(bills_in(tmp_path)) == [Bill("a.json", "u", {}), Bill("b.json", "t", {"a": 1})]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"{", "can't be read"),
        (b"[" * 100_000, "can't be read"),
        (b'{"predicateType": "t", "predicate": {"a": "\\ud800"}}', "can't be read"),
        (b"[]", "is no statement"),
        (b'{"predicateType": "", "predicate": {}}', "is no statement"),
        (b'{"predicateType": [], "predicate": {}}', "is no statement"),
        (b'{"predicateType": "t", "predicate": 1}', "is no statement"),
    ],
)
def test_files_that_state_nothing(tmp_path, data, text):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(Invalid, match=f"the generator's 'a.json' {text}"):
        list(bills_in(tmp_path))


def test_what_is_no_file_of_its_own(tmp_path, monkeypatch):
    """No link is followed, no pipe or device is opened, and what is too big isn't read."""
    opened, really = [], os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **by: opened.append(path) or really(path, *more, **by))
    (tmp_path / "secret").write_text('{"predicateType": "t", "predicate": {}}')
    for number, make in enumerate((lambda path: path.symlink_to(tmp_path / "secret"), os.mkfifo, big)):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "a.json")
        with pytest.raises(Invalid, match="can't be read"):
            list(bills_in(folder))
    assert [each for each in opened if each in tmp_path.glob("*/a.json")] == [tmp_path / "2/a.json"]
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.json")).write_text('{"predicateType": "t", "predicate": {}}')
    with pytest.raises(Invalid, match="can't be read"):
        list(bills_in(folder))


def big(path):
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
