import io
import os
import socket
from contextlib import suppress

import pytest
from descriptors import closed_again, descriptors

from moby.host import tree
from moby.oci import layer
from moby.oci.digest import CHUNK_BYTES
from moby.oci.layer import EntryType
from moby.oci.merged import MergedPacking
from moby.oci.pack import Packing


@pytest.fixture
def packing(tmp_path):
    fd = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    yield Packing(fd)
    os.close(fd)


@pytest.mark.parametrize("becomes", ["link", "socket", "folder", "nothing"])
def test_what_is_swapped_meanwhile_is_left_out(tmp_path, packing, becomes):
    for name in "abc":
        (tmp_path / name).write_text(name)
    entries = packing.entries()
    assert [next(entries)[0].path, next(entries)[0].path] == ["", "a"]
    (tmp_path / "b").unlink()
    if becomes == "link":
        (tmp_path / "b").symlink_to("/etc/shadow")
    elif becomes == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "b"))
    elif becomes == "folder":
        (tmp_path / "b").mkdir()
    assert [(entry.path, list(content)) for entry, content in entries] == [("c", [b"c"])]


def test_a_hard_link_has_the_attributes_of_its_file(tmp_path, packing):
    """Whoever unpacks it as dockerd does gives it its owner, which takes a capability away."""
    (tmp_path / "a").write_text("a")
    try:
        os.setxattr(tmp_path / "a", "user.x", b"y")
    except OSError:
        pytest.skip("this file system has no extended attributes; every guest covers it")
    os.link(tmp_path / "a", tmp_path / "b")
    assert [(entry.path, entry.xattrs) for entry, _ in packing.entries()][1:] == [
        ("a", {"user.x": b"y"}), ("b", {"user.x": b"y"}),
    ]  # fmt: skip


def test_one_that_may_not_be_read_is_an_error(unprivileged):
    def pack(where):
        (where / "a").write_text("a")
        (where / "a").chmod(0)
        with pytest.raises(PermissionError):
            list(packing_again(where))

    unprivileged(pack)


def test_files_of_any_size_come_whole_and_links_once(tmp_path, packing):
    sizes = {"0": 0, "1": 1, "2": (1 << 20) - 1, "3": 1 << 20, "4": (1 << 20) + 1, "5": 3 << 20}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(os.urandom(size))
    os.link(tmp_path / "4", tmp_path / "5-too")
    with layer.write(packing.entries()) as reader:
        whole = reader.read()
    assert b"".join(layer.stream(packing_again(tmp_path))) == whole
    found = {}
    for entry, content in layer.read(io.BytesIO(whole)):
        found[entry.path] = (entry.type, entry.link, b"".join(bytes(each) for each in content))
    del found[""]
    expected = {name: (EntryType.FILE, "", (tmp_path / name).read_bytes()) for name in sizes}
    assert found == expected | {"5-too": (EntryType.HARDLINK, "4", b"")}


def packing_again(path):
    fd = os.open(path, tree.DIRECTORY_FLAGS)
    try:
        yield from Packing(fd).entries()
    finally:
        os.close(fd)


def test_leaves_no_descriptor_open(tmp_path):
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(2 << 20))
    before = descriptors()
    entries = packing_again(tmp_path)
    for _ in range(2):
        next(entries)
    entries.close()
    closed_again(before)


def test_a_stream_is_its_entries_written(tmp_path, packing):
    """Whatever a file has that its header can't hold."""
    times = {"even": 5 * 10**9, "odd": 5 * 10**9 + 1}
    for name in ("empty", "full", "n" * 99, "n" * 101, "\u00fc", *times):
        (tmp_path / name).write_bytes(name.encode() * 200 if name != "empty" else b"")
        os.utime(tmp_path / name, ns=(0, times.get(name, 7 * 10**9)))
    (tmp_path / "large").write_bytes(bytes(CHUNK_BYTES + 1))
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "full", tmp_path / "b/link")
    (tmp_path / "b/symlink").symlink_to("link")
    with suppress(OSError):  # a file system without them
        (tmp_path / "b/attributes").write_text("1")
        os.setxattr(tmp_path / "b/attributes", "user.x", b"y")
    with layer.write(packing.entries()) as written:
        data = written.read()
    assert b"".join(Packing(packing.root_fd).stream()) == data
    assert {entry.path for entry, _ in layer.read(io.BytesIO(data))} >= {
        "empty",
        "n" * 101,
        "\u00fc",
        "b/link",
        "large",
    }


@pytest.mark.parametrize("base", ["", "/", ".", "etc"])
def test_all_paths_are_below_the_base(tmp_path, base):
    (tmp_path / "a").write_text("1")
    os.link(tmp_path / "a", tmp_path / "b")
    fd = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    above = {"": "", "/": "/", ".": "./", "etc": "etc/"}[base]
    entries = [(entry.path, entry.link) for entry, _ in Packing(fd, base=base).entries()]
    merged = [(entry.path, entry.link) for entry, _ in MergedPacking(fd, base=base, marks=()).entries()]
    os.close(fd)
    assert entries == merged == [(base, ""), (f"{above}a", ""), (f"{above}b", f"{above}a")]
