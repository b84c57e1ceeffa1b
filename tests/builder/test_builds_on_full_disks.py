"""A disk that fills up in each phase of a build: what was done stays, and all goes well once there is room."""

import os

import pytest
from building_engines import Engine, box_root

from moby.contracts.builder import BuildFailed, Export, ExportType, Request, Vertex
from moby.errors import HostUnfit
from moby.host.mounts import mount, unmount
from moby.testing.lending import Building, Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network

pytestmark = pytest.mark.slow

MIB = 1 << 20
ROOM_BYTES = 160 * MIB
BLOB_BYTES = 8 * MIB
COPIED = "FROM box\nRUN echo one > /one\nCOPY blob /blob\n"
WRITTEN = "FROM box\nRUN --mount=type=bind,target=/m cat /m/blob > /written\n"
IMAGE = Export(ExportType.IMAGE, names=("made:1",))
ARCHIVE = Export(ExportType.OCI, names=("made:1",), attributes={"compression": "gzip"})


@pytest.fixture(scope="module", autouse=True)
def apart():
    with own_mounts(shared=True), own_network():
        yield


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount("small", str(folder), "tmpfs", data=f"size={ROOM_BYTES},mode=755")
    yield folder
    unmount(str(folder), detach=True)


@pytest.fixture
def engine(small, tmp_path):
    with Engine(small / "engine", box_root(tmp_path)) as engine:
        yield engine


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "blob").write_bytes(os.urandom(BLOB_BYTES))
    return folder


def filled(small, room_bytes):
    """Leave so much room."""
    found = os.statvfs(small)
    (small / "filler").write_bytes(b"")
    with (small / "filler").open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_bsize - room_bytes)


def build(engine, context, text, export):
    """Build and export; return the steps that were found."""
    (context / "Dockerfile").write_text(text)
    with Building(engine.builder, Lending({"context": context, "dockerfile": context}, key="here")) as at:
        result = at.build.solve(Request(network="none", layers=True))
        at.build.export(result, [export])
        return {each.name.partition("] ")[2] for each in at.events if isinstance(each, Vertex) and each.cached}


@pytest.mark.parametrize(
    ("text", "room", "export", "done"),
    [
        pytest.param(COPIED, BLOB_BYTES // 2, IMAGE, set(), id="the context comes"),
        pytest.param(COPIED, BLOB_BYTES * 3 // 2, IMAGE, {"RUN echo one > /one"}, id="files are copied"),
        pytest.param(WRITTEN, BLOB_BYTES * 3 // 2, IMAGE, set(), id="a program writes"),
        pytest.param(
            COPIED, BLOB_BYTES * 5 // 2, IMAGE, {"RUN echo one > /one", "COPY blob /blob"}, id="a layer is written down"
        ),
        pytest.param(
            COPIED, BLOB_BYTES * 7 // 2, ARCHIVE, {"RUN echo one > /one", "COPY blob /blob"}, id="a layer is compressed"
        ),
    ],
)  # fmt: skip
def test_a_disk_that_is_full(engine, small, context, text, room, export, done):
    (context / "Dockerfile").write_text("FROM box\n")
    build(engine, context, "FROM box\n", IMAGE)
    filled(small, room)
    with pytest.raises((HostUnfit, BuildFailed), match=r"(?i)no space left|exit code: 1"):
        build(engine, context, text, export)
    assert [each.key for each in engine.snapshotter.list() if each.key.startswith("builder/active/")] == []
    (small / "filler").unlink()
    assert build(engine, context, text, IMAGE) >= done
    assert build(engine, context, text, IMAGE) > done
