"""Archives that mean harm, and what else can be in one, unpacked into a container."""

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import threading

import pytest
from moby_containers.engine.archives import _Reading

from moby.contracts.containers import MountRequest
from moby.errors import Conflict, HostUnfit, Invalid, NotFound
from moby.host import mounts


def archive(*entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data, fields in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def put(engine, made, path, data, **how):
    engine.containers.write_path(made, path, io.BytesIO(data), **how)


def entries(engine, made, path):
    data = b"".join(engine.containers.read_path(made, path))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {each.name: each for each in tar}


SYMLINK, LINK, FOLDER = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}, {"type": tarfile.DIRTYPE, "mode": 0o755}


@pytest.fixture
def outside(tmp_path):
    """A folder of the host's that nothing may reach."""
    found = tmp_path / "outside"
    found.mkdir()
    (found / "secret").write_text("secret")
    return found


def test_a_link_of_the_archive_leads_inside(engine, outside):
    made = engine.create(":")
    data = archive(("up", b"", {**SYMLINK, "linkname": str(outside)}), ("up/evil", b"x", {}))
    with pytest.raises(Invalid, match="can't be unpacked"):  # there is no such folder inside
        put(engine, made, "/etc", data)
    put(engine, made, "/", archive((str(outside).lstrip("/"), b"", FOLDER)))
    put(engine, made, "/etc", data)
    assert [each.name for each in outside.iterdir()] == ["secret"]
    assert engine.containers.stat_path(made, f"{outside}/evil").size == 1


def test_links_up_lead_to_the_root(engine, outside):
    made = engine.create(":")
    up = "../" * 40 + str(outside).lstrip("/")
    put(engine, made, "/", archive(("way", b"", {**SYMLINK, "linkname": up})))
    with pytest.raises(NotFound):
        engine.containers.stat_path(made, "/way/secret")
    with pytest.raises(NotFound):
        b"".join(engine.containers.read_path(made, "/way/"))
    assert entries(engine, made, "/way")["way"].issym()


def test_a_hard_link_reaches_nothing_outside(engine, outside):
    made = engine.create(":")
    data = archive(
        ("up", b"", {**SYMLINK, "linkname": str(outside)}), ("stolen", b"", {**LINK, "linkname": "up/secret"})
    )
    with pytest.raises(Invalid, match="can't be unpacked"):
        put(engine, made, "/etc", data)


@pytest.mark.parametrize("name", ["../../evil", "a/../../../evil"])
def test_names_that_lead_up_are_refused(engine, name):
    made = engine.create(":")
    with pytest.raises(Invalid):
        put(engine, made, "/etc", archive((name, b"x", {})))


def test_magic_links_are_not_followed(engine):
    made = engine.create("cat", open_stdin=True)
    engine.containers.start(made)
    with pytest.raises((NotFound, Invalid)):
        engine.containers.stat_path(made, "/proc/self/root/etc/passwd")


def test_volumes_and_binds_are_reached(engine, outside):
    mounts = (MountRequest("bind", "/in", str(outside)), MountRequest("volume", "/v", "kept"))
    made = engine.create(":", mounts=mounts)
    assert engine.containers.stat_path(made, "/in/secret").size == 6
    put(engine, made, "/v/", archive(("f", b"1", {})))
    assert (engine.volumes.get("kept").mountpoint / "f").read_text() == "1"
    assert engine.volumes.get("kept").users == (made,)


def missing(*_, **__):
    raise OSError(errno.ENOSYS, "Function not implemented")


@pytest.mark.parametrize(
    ("runs", "recent"), [(True, True), (False, True), (False, False)], ids=["running", "created", "before-5.12"]
)
def test_nothing_is_written_through_what_is_read_only(engine, outside, monkeypatch, runs, recent):
    binds = (
        MountRequest("bind", "/in", str(outside), read_only=True),
        MountRequest("volume", "/v", "vol", read_only=True),
    )
    made = engine.create("cat", open_stdin=True, mounts=binds)
    if runs:
        engine.containers.start(made)
    if not recent:
        monkeypatch.setattr(mounts, "set_attributes", missing)
    (outside / "d").mkdir()
    (outside / "d/f").write_text("kept")
    for name, fields in (
        ("in/evil", {}), ("in", FOLDER), ("in/new", FOLDER), ("in/new/evil", {}), ("in/secret", {}), ("in/d", {}),
        ("in/link", {**SYMLINK, "linkname": "a"}), ("in/hard", {**LINK, "linkname": "in/secret"}),
        ("in/fifo", {"type": tarfile.FIFOTYPE}), ("v/evil", {}),
    ):  # fmt: skip
        with pytest.raises(HostUnfit, match=r"(?i)can't be unpacked: .*read-only file system"):
            put(engine, made, "/", archive((name, b"", fields)))
    assert sorted(each.name for each in outside.iterdir()) == ["d", "secret"]
    assert entries(engine, made, "/in").keys() == {"in", "in/secret", "in/d", "in/d/f"}
    assert b"secret" in b"".join(engine.containers.read_path(made, "/in/secret"))


def test_what_is_mounted_below_is_as_the_container_has_it(engine, outside, tmp_path):
    """Read-only too, or writable, or not there at all."""
    (tmp_path / "below").mkdir()
    (outside / "sub").mkdir()
    mounts.mount(str(tmp_path / "below"), str(outside / "sub"), "", mounts.FLAGS["bind"])
    kinds = {"/deep": {}, "/shallow": {"read_only_non_recursive": True}, "/alone": {"non_recursive": True}}
    binds = [MountRequest("bind", path, str(outside), read_only=True, **how) for path, how in kinds.items()]
    made = engine.create(":", mounts=tuple(binds))
    try:
        for name in ("deep/sub/evil", "alone/sub/evil"):
            with pytest.raises(HostUnfit, match="read-only file system"):
                put(engine, made, "/", archive((name, b"", {})))
        put(engine, made, "/", archive(("shallow/sub/f", b"", {})))
        assert "deep/sub/f" in entries(engine, made, "/deep")
        assert "alone/sub/f" not in entries(engine, made, "/alone")
    finally:
        mounts.unmount(str(outside / "sub"))
    assert [each.name for each in (tmp_path / "below").iterdir()] == ["f"]
    assert not list((outside / "sub").iterdir())


def test_no_place_for_a_mount_is_made_in_what_is_read_only(engine, outside):
    binds = (MountRequest("bind", "/in", str(outside), read_only=True), MountRequest("volume", "/in/new"))
    made = engine.create(":", mounts=binds)
    with pytest.raises(OSError, match="Read-only file system"):
        engine.containers.stat_path(made, "/etc")
    assert [each.name for each in outside.iterdir()] == ["secret"]


def content(engine, made, path):
    data = b"".join(engine.containers.read_path(made, path))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.extractfile(path.rpartition("/")[2]).read()


OF_ETC = ("hosts", "hostname", "resolv.conf")


@pytest.mark.parametrize("ends", [False, True], ids=["running", "ended"])
def test_files_of_its_etc_are_read_as_it_has_them_and_stay(engine, ends):
    made = engine.create("cat", open_stdin=True, hostname="named")
    engine.containers.start(made)
    if ends:
        engine.containers.kill(made)
        engine.containers.wait(made)
    assert content(engine, made, "/etc/hostname") == b"named\n"
    before = {name: content(engine, made, f"/etc/{name}") for name in OF_ETC}
    assert b"localhost" in before["hosts"]
    folder = entries(engine, made, "/etc")
    for name, data in before.items():
        assert folder[f"etc/{name}"].size == engine.containers.stat_path(made, f"/etc/{name}").size == len(data)
        with pytest.raises(HostUnfit, match=f"'{name}' can't be unpacked: device or resource busy"):
            put(engine, made, "/etc", archive((name, b"mine", {})))
    assert {name: content(engine, made, f"/etc/{name}") for name in OF_ETC} == before


def test_files_of_its_etc_are_the_image_s_before_its_first_start(engine):
    made = engine.create(":")
    put(engine, made, "/etc", archive(("hosts", b"mine", {})))
    assert content(engine, made, "/etc/hosts") == b"mine"
    engine.finish(made)
    assert b"localhost" in content(engine, made, "/etc/hosts")


def test_a_file_of_its_etc_that_the_user_mounts_is_that_one(engine, outside):
    made = engine.create(":", mounts=(MountRequest("bind", "/etc/hosts", str(outside / "secret")),))
    engine.finish(made)
    assert content(engine, made, "/etc/hosts") == b"secret"
    assert content(engine, made, "/etc/hostname") == f"{made[:12]}\n".encode()


def test_no_device_is_opened_that_takes_a_file_s_place_meanwhile(engine, outside, monkeypatch):
    made = engine.create(":", mounts=(MountRequest("bind", "/in", str(outside)),))
    (outside / "a").write_bytes(bytes(8 << 20))
    opened = []

    def watched(path, flags, *arguments, usual=os.open, **more):
        fd = usual(path, flags, *arguments, **more)
        if not flags & os.O_PATH:
            opened.append(stat.S_IFMT(os.fstat(fd).st_mode))
        return fd

    reading = iter(engine.containers.read_path(made, "/in/"))
    first = next(reading)
    (outside / "secret").unlink()
    os.mknod(outside / "secret", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    monkeypatch.setattr(os, "open", watched)
    rest = b"".join(reading)
    monkeypatch.undo()
    assert len(first + rest) > 8 << 20
    assert stat.S_IFCHR not in opened


def test_kinds_of_files(engine):
    made = engine.create(":")
    data = archive(
        ("d", b"", {**FOLDER, "mode": 0o700, "mtime": 5}),
        ("d/f", b"1", {"mode": 0o4755, "uid": 7, "gid": 8, "mtime": 9}),
        ("d/l", b"", {**SYMLINK, "linkname": "f"}),
        ("d/h", b"", {**LINK, "linkname": "d/f"}),
        ("d/p", b"", {"type": tarfile.FIFOTYPE}),
        ("d/c", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
    )
    put(engine, made, "/etc", data)
    found = entries(engine, made, "/etc/d")
    assert (found["d"].mode, found["d"].mtime) == (0o700, 5)
    assert (found["d/f"].mode, found["d/f"].uid, found["d/f"].gid, found["d/f"].mtime) == (0o4755, 7, 8, 9)
    assert found["d/l"].linkname == "f"
    assert found["d/h"].linkname == "d/f"
    assert found["d/p"].isfifo()
    assert (found["d/c"].devmajor, found["d/c"].devminor) == (1, 3)
    for name in ("p", "c", "l", "f"):
        assert set(entries(engine, made, f"/etc/d/{name}")) == {name}
    assert stat.S_ISLNK(engine.containers.stat_path(made, "/etc/d/l").mode)
    assert engine.containers.stat_path(made, "/etc/d/l").link_target == "/etc/d/f"


def test_owners(engine):
    made = engine.create(":", user="ann")
    put(engine, made, "/etc", archive(("f", b"", {"uid": 7})))
    put(engine, made, "/etc", archive(("g", b"", {"uid": 7})), keep_owners=True)
    assert entries(engine, made, "/etc/f")["f"].uid == 7
    assert entries(engine, made, "/etc/g")["g"].uid == 1000
    made = engine.create(":")
    put(engine, made, "/etc", archive(("g", b"", {"uid": 7})), keep_owners=True)
    assert entries(engine, made, "/etc/g")["g"].uid == 7


def test_types_are_kept(engine):
    made = engine.create(":")
    put(engine, made, "/etc", archive(("d", b"", FOLDER), ("f", b"1", {})))
    with pytest.raises(Invalid, match='cannot overwrite directory "/etc/d" with non-directory'):
        put(engine, made, "/etc", archive(("d", b"1", {})), keep_types=True)
    with pytest.raises(Invalid, match='cannot overwrite non-directory "/etc/f" with directory'):
        put(engine, made, "/etc", archive(("f", b"", FOLDER)), keep_types=True)
    put(engine, made, "/etc", archive(("d", b"1", {}), ("f", b"", FOLDER)))
    assert entries(engine, made, "/etc/d")["d"].isfile()


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed(engine, compress):
    made = engine.create(":")
    put(engine, made, "/etc", compress(archive(("f", b"12", {}))))
    assert engine.containers.stat_path(made, "/etc/f").size == 2


@pytest.mark.parametrize("data", [b"nonsense" * 100, gzip.compress(b"x" * 2000)[:-20], archive(("f", b"12", {}))[:513]])
def test_damaged(engine, data):
    made = engine.create(":")
    with pytest.raises(Invalid):
        put(engine, made, "/etc", data)


def test_a_reader_who_leaves(engine):
    made = engine.create(":")
    put(engine, made, "/etc", archive(("big", bytes(8 << 20), {})))
    reading = engine.containers.read_path(made, "/etc/big")
    next(reading)
    reading.close()
    engine.containers.remove(made)


def test_no_path(engine):
    made = engine.create(":")
    with pytest.raises(Invalid, match="path cannot be empty"):
        engine.containers.stat_path(made, "")
    with pytest.raises(NotFound, match="Could not find the file /none"):
        put(engine, made, "/none", archive())
    put(engine, made, "/", archive(("loop", b"", {**SYMLINK, "linkname": "loop"})))
    with pytest.raises(Invalid, match="too many levels"):
        engine.containers.stat_path(made, "/loop/x")
    with pytest.raises(Invalid, match="too many levels"):
        put(engine, made, "/loop", archive())


def test_one_that_is_being_removed(engine):
    made = engine.create(":")
    entry = engine.containers._shelf.get(made)
    entry.removing = True
    with pytest.raises(Conflict, match="is being removed"):
        engine.containers.stat_path(made, "/")
    entry.removing = False


def test_the_whole_root(engine):
    made = engine.create(":")
    assert engine.containers.stat_path(made, "/").name == "/"
    assert "etc/passwd" in {name.lstrip("./") for name in entries(engine, made, "/")}


@pytest.mark.parametrize(
    ("path", "root", "above"),
    [("/", "/", "/"), ("/etc/..", "/", "/"), ("/.", "./", "./"), (".", "./", "./"), ("/etc/.", "./", "./"),
     ("/etc", "etc/", "etc/"), ("etc/", "etc/", "etc/")],
)  # fmt: skip
def test_names_in_an_archive_are_those_that_docker_gives(engine, path, root, above):
    """The names as they are written, which tarfile shows in its own way; hard links lead to such names."""
    made, other = engine.create(":"), engine.create(":")
    put(engine, made, "/etc", archive(("one", b"1", {}), ("two", b"", {**LINK, "linkname": "one"})))
    data = b"".join(engine.containers.read_path(made, path))
    below = "etc/" if "etc" not in path or ".." in path else ""
    found = {name: (kind, link) for name, kind, link in headers(data)}
    assert next(iter(found)) == root
    assert found[f"{above}{below}two"] == ("1", f"{above}{below}one")
    assert all(name.startswith(above) and "//" not in name for name in found)
    put(engine, other, "/tmp", data)
    inside = "/tmp/" + f"{above}{below}two".removeprefix("./").lstrip("/")
    assert engine.containers.stat_path(other, inside).size == 1


def headers(data):
    """Yield name, type and link of each entry as ustar headers have them."""
    at = 0
    while data[at]:
        header = data[at : at + 512]
        name, link = (header[each].rstrip(b"\0").decode() for each in (slice(100), slice(157, 257)))
        if header[156:157] != b"x":
            yield name, header[156:157].decode(), link
        at += 512 + -(-int(header[124:135], 8) // 512) * 512


def test_one_that_is_closed_while_it_is_read_ends_with_that(timeout_s=60):
    """Whoever closes it waits for nobody, and what it is made of stays until nothing reads that."""
    reads, goes, over = threading.Event(), threading.Event(), threading.Event()
    left: list = []

    def chunks():
        try:
            reads.set()
            assert goes.wait(timeout_s)
            left.append(over.is_set())
            yield b"1"
            yield b"2"
        finally:
            left.append(over.is_set())

    reading = _Reading(chunks(), over)
    found: list = []
    thread = threading.Thread(target=lambda: found.extend(reading))
    thread.start()
    assert reads.wait(timeout_s)
    reading.close()
    assert not over.is_set()
    goes.set()
    thread.join(timeout_s)
    assert (found, left, over.is_set()) == ([b"1"], [False, False], True)
    reading.close()
    assert list(reading) == []
