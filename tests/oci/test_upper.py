import errno
import os
import stat

import pytest

from moby.errors import HostUnfit, Invalid
from moby.host import tree
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.unpack import Unpacking
from moby.oci.upper import UpperUnpacking

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="writes what only root may; the guests cover it")

CAPABILITY = bytes.fromhex("01000002 00200000 00000000 00000000 00000000")
"""CAP_NET_RAW, effective (linux/capability.h)."""


def entry(path, data=b"", kind=EntryType.FILE, mode=0o755, **more):
    return LayerEntry(path, kind, mode, size_bytes=len(data), **more), [data]


def hardlink(path, link, **more):
    return entry(path, kind=EntryType.HARDLINK, link=link, **more)


def folder(path):
    return entry(path, kind=EntryType.DIRECTORY)


@pytest.fixture
def made(tmp_path):
    """Unpack a layer over others' folders, and return its own."""
    opened = []

    def work(name, *entries, below=()):
        path = tmp_path / name
        path.mkdir()
        root, *lowers = (os.open(each, tree.DIRECTORY_FLAGS) for each in (path, *below))
        opened.extend((root, *lowers))
        unpacking = UpperUnpacking(root, True, lowers=lambda: tuple(lowers)) if below else Unpacking(root, True)
        with layer.write(entries) as tar:
            unpacking.apply(tar)
        unpacking.finish()
        return path

    yield work
    for each in opened:
        os.close(each)


def test_a_file_below_that_a_hard_link_brings_up_keeps_its_capability(made):
    given = {"security.capability": CAPABILITY}
    below = made("below", entry("a", b"x", uid=3, gid=4, xattrs=given))
    own = made("own", hardlink("b", "a", uid=3, gid=4), below=[below])
    found = (own / "b").stat()
    assert (found.st_nlink, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (2, 3, 4, 0o755)
    assert os.getxattr(own / "a", "security.capability") == CAPABILITY


@pytest.mark.parametrize("way", ["file", "link"])
def test_a_hard_link_points_to_what_is_in_the_place_of_something_hidden(made, way):
    below = made("below", entry("a", b"old"))
    new = entry("a", b"new") if way == "file" else entry("a", kind=EntryType.SYMLINK, link="new")
    own = made("own", entry(".wh.a"), new, hardlink("b", "a"), below=[below])
    assert os.path.samestat((own / "a").lstat(), (own / "b").lstat())


def test_a_hidden_file_can_be_no_hard_links_target(made):
    below = made("below", entry("a", b"old"))
    with pytest.raises(Invalid, match="No such file"):
        made("own", entry(".wh.a"), hardlink("b", "a"), below=[below])


def test_a_folder_made_anew_shows_nothing_of_what_was_hidden_in_its_place(made):
    below = made("below", folder("d"), entry("d/x", b"old"))
    entries = [folder("d"), entry("d/.wh.x"), entry("d"), folder("d"), entry("d/x/y", b"new")]
    own = made("own", *entries, below=[below])
    assert (own / "d/x/y").read_bytes() == b"new"
    assert os.getxattr(own / "d", "trusted.overlay.opaque") == b"y"


def test_a_file_system_without_attributes_is_named_where_one_hides_a_folder(made, monkeypatch):
    def lacks(*_):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "setxattr", lacks)
    below = made("below", folder("a/d"))
    with pytest.raises(HostUnfit, match=r"can't hide what is below 'a/d': Operation not supported") as caught:
        made("own", folder("a/d"), entry("a/d/.wh..wh..opq"), below=[below])
    assert "lacks extended attributes" in caught.value.hint
