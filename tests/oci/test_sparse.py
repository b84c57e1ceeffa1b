"""Sparse files in layers, as GNU tar writes them in each of its formats, and as nobody writes them."""

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moby.errors import Invalid
from moby.oci import holes, layer
from moby.oci.unpack import Unpacking

MIB = 1 << 20
FORMATS = {
    "older": ["--format=gnu"], "0.0": ["--format=posix", "--sparse-version=0.0"],
    "0.1": ["--format=posix", "--sparse-version=0.1"], "1.0": ["--format=posix", "--sparse-version=1.0"],
}  # fmt: skip


def sparse_file(path, *pieces, size):
    with path.open("wb") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
        file.truncate(size)
    return path


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    base = tmp_path_factory.mktemp("tree")
    sparse_file(base / "empty", size=3 * MIB)
    sparse_file(base / "end", (2 * MIB, b"x" * 5000), size=2 * MIB + 5000)
    sparse_file(base / "middle", (0, b"a"), (MIB, b"b" * 100_000), size=4 * MIB + 17)
    sparse_file(base / "pieces", *((n * 65536, bytes([n % 255 + 1]) * 4096) for n in range(100)), size=7 * MIB)
    sparse_file(base / ("n" * 180), (MIB, b"long name"), size=2 * MIB)
    (base / "plain").write_bytes(b"plain" * 1000)
    return base


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_what_gnu_tar_writes_is_unpacked_with_its_holes(tree, options, tmp_path):
    tar = subprocess.run(["tar", "-cS", *options, "-C", tree, "."], stdout=subprocess.PIPE, check=True).stdout
    assert len(tar) < 2 * MIB  # sparse indeed
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        unpacking = Unpacking(fd, owners=False)
        unpacking.apply(io.BytesIO(tar))
        unpacking.finish()
    finally:
        os.close(fd)
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in tree.iterdir()}
    for each in tree.iterdir():
        made = tmp_path / each.name
        assert made.read_bytes() == each.read_bytes()
        assert made.stat().st_blocks * 512 <= each.stat().st_blocks * 512 + 128 * 1024
    assert unpacking.size_bytes == sum(each.stat().st_size for each in tree.iterdir())


@settings(deadline=None, max_examples=40)  # it writes files
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200_000), st.integers(1, 1 << 17)), max_size=6))
def test_any_content_is_written_as_it_is(tmp_path_factory, runs):
    data = b"".join((b"\1" if full else b"\0") * size for full, size, _ in runs)
    steps = [size for *_, size in runs] or [1]
    chunks, at = [], 0
    while at < len(data):
        step = steps[len(chunks) % len(steps)]
        chunks.append(memoryview(data)[at : at + step] if len(chunks) % 2 else data[at : at + step])
        at += step
    path = tmp_path_factory.getbasetemp() / "poured"
    with path.open("wb") as file:
        holes.pour(file.fileno(), chunks)
    assert path.read_bytes() == data


def test_zeros_take_no_room(tmp_path):
    path = tmp_path / "file"
    with path.open("wb") as file:
        holes.pour(file.fileno(), [b"x" * MIB, bytes(8 * MIB), b"y", bytes(MIB)])
    assert path.stat().st_size == 10 * MIB + 1
    assert path.stat().st_blocks * 512 < 2 * MIB


def pax_file(records, data=b"", name="a"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size, info.pax_headers = len(data), records
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def old_file(extents, size, stored, data=b"", more=()):
    """A header of the older format; `more` are the blocks that continue it."""
    block = bytearray(pax_file({}, b"")[:512])
    for number, (offset, length) in enumerate(extents):
        block[386 + 24 * number : 410 + 24 * number] = b"%011o\0%011o\0" % (offset, length)
    block[124:136], block[156:157], block[482:483] = b"%011o\0" % stored, b"S", b"\1" if more else b"\0"
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"".join(more) + data + bytes(-len(data) % 512) + bytes(1024)


def in_data(*lines, data=b"", **records):
    text = b"".join(b"%s\n" % str(each).encode() for each in lines)
    body = text + bytes(-len(text) % 512) + data
    return pax_file({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"} | records, body)


SIZE = {"GNU.sparse.size": "10"}
REAL = {"GNU.sparse.realsize": "10"}


def read(data):
    return [(entry, b"".join(content)) for entry, content in layer.read(io.BytesIO(data))]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "2,3,10,0"}, b"abc"), id="map"),
        pytest.param(in_data(2, 2, 3, 10, 0, data=b"abc", **REAL), id="data"),
        pytest.param(old_file([(2, 3), (10, 0)], 10, 3, b"abc"), id="older"),
        pytest.param(
            old_file([], 10, 3, b"abc", [(b"%011o\0%011o\0" % (2, 3)).ljust(512, b"\0")]), id="older-continued"
        ),
    ],
)
def test_holes_are_zeros(data):
    [(entry, content)] = read(data)
    assert (entry.path, entry.size_bytes, content) == ("a", 10, b"\0\0abc\0\0\0\0\0")


def test_an_entry_that_is_passed_over_is_read_to_its_end():
    data = pax_file(SIZE | {"GNU.sparse.map": "2,3"}, b"abc").rstrip(b"\0")
    data += bytes(-len(data) % 512) + pax_file({}, b"next", name="b")
    assert [entry.path for entry, _ in layer.read(io.BytesIO(data))] == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(pax_file({"GNU.sparse.map": "0,0"}), "how long", id="no-size"),
        pytest.param(pax_file({"GNU.sparse.major": "2", "GNU.sparse.minor": "0"} | REAL), "unknown version", id="new"),
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "0"}), "half a piece", id="half"),
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "0,x"}), "no numbers", id="text"),
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "5,3,0,3"}, b"abcdef"), "overlap", id="order"),
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "8,3"}, b"abc"), "beyond its end", id="beyond"),
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "0,3"}, b"abcd"), "other bytes", id="more-bytes"),
        pytest.param(pax_file(SIZE | {"GNU.sparse.map": "0,3"}, b"ab"), "other bytes", id="fewer-bytes"),
        pytest.param(pax_file({"GNU.sparse.size": "-1", "GNU.sparse.map": "0,0"}), "no number", id="size"),
        pytest.param(in_data(1, 0, **REAL), "damaged map", id="data-short"),
        pytest.param(in_data(1, 0, "x", **REAL), "no numbers", id="data-text"),
        pytest.param(in_data(1 << 17, **REAL), "are allowed", id="data-many"),
        pytest.param(in_data("1" * 30, **REAL), "damaged map", id="data-long"),
        pytest.param(pax_file(REAL | {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "damaged map", id="data-no"),
        pytest.param(old_file([], 0, 0, more=[(b"%011o\0" * 42 % ((1,) * 42)).ljust(512, b"\1")] * 3200), "more than",
                     id="older-many"),
        pytest.param(old_file([(0, 3)], 10, 3, more=[b"\0"])[:520], "ends inside a map", id="older-cut"),
        pytest.param(old_file([(0, 3)], 10, 3)[:512], "ends inside 'a'", id="cut"),
    ],
)  # fmt: skip
def test_refuses(data, message):
    with pytest.raises(Invalid, match=message):
        read(data)
