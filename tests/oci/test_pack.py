import io
import os
import socket
from pathlib import Path

import pytest

from moby.host import tree
from moby.oci import layer
from moby.oci.layer import EntryType
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
    before = len(list(Path("/proc/self/fd").iterdir()))
    entries = packing_again(tmp_path)
    for _ in range(2):
        next(entries)
    entries.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
