import io
import os
import socket
import subprocess
from pathlib import Path

import pytest
from moby_images.command import fromhost
from moby_images.command.files import Files
from moby_images.command.fromhost import PROGRAMS, build
from moby_images.layout.store import Layout

from moby.errors import Conflict, HostUnfit, Invalid, NotFound
from moby.oci import layer
from moby.oci.digest import sha256
from moby.oci.layer import EntryType
from moby.oci.reference import parse


def tar_of(built):
    with layer.write(built.files.layer()) as tar:
        return tar.read()


def tree_of(files):
    """Path to bytes, to `-> link`, or to None for a folder."""
    with layer.write(files.layer()) as tar:
        found = [(entry, b"".join(content)) for entry, content in layer.read(tar)]
    kinds = {EntryType.DIRECTORY: lambda entry, data: None, EntryType.SYMLINK: lambda entry, data: f"-> {entry.link}"}
    return {entry.path: kinds.get(entry.type, lambda entry, data: data)(entry, data) for entry, data in found}


@pytest.fixture
def host(tmp_path):
    """A folder of the host's with something in it."""
    host = tmp_path / "host"
    (host / "d").mkdir(parents=True)
    (host / "d/f").write_text("1")
    (host / "d/l").symlink_to("../nowhere")
    return host


# The whole


def test_the_same_host_gives_the_same_image(tmp_path, monkeypatch):
    one = tar_of(build(["sh", "cat"]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    before = os.umask(0o077)
    try:
        assert sha256(tar_of(build(["cat", "sh"]))) == sha256(one)
    finally:
        os.umask(before)


def test_everything_is_roots_and_of_the_epoch():
    entries = [entry for entry, _ in layer.read(io.BytesIO(tar_of(build(["sh"]))))]
    assert {(each.uid, each.gid, each.mtime_ns) for each in entries} == {(0, 0, 0)}
    assert [each.path for each in entries] == sorted(each.path for each in entries)
    assert all(each.mode & 0o6000 == 0 for each in entries)
    modes = {each.path: each.mode for each in entries}
    assert (modes["tmp"], modes["var/tmp"], modes["root"]) == (0o1777, 0o1777, 0o755)


def test_minimal_system():
    tree = tree_of(build(["sh"]).files)
    assert tree["etc/passwd"].startswith(b"root:x:0:0:root:/root:/bin/sh\n")
    assert {"dev", "proc", "sys", "etc", "home", "root", "run", "tmp", "etc/group", "etc/nsswitch.conf"} <= set(tree)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            assert tree[name] == f"-> {Path('/', name).readlink()}"


def test_usual_programs_are_there():
    built = build()
    tree = tree_of(built.files)
    shell = built.config.command[0]
    assert shell == "/bin/sh"
    names = {path.rpartition("/")[2] for path in tree}
    assert {"sh", "ls", "cat", "id", "sleep"} <= names & set(PROGRAMS)
    assert built.config.environment == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, for chroot; the quickstart runs it as a user")
def test_all_programs_load_in_a_root_of_it(tmp_path):
    images = Layout(tmp_path / "state")
    built = build()
    image = images.add(parse("host"), [io.BytesIO(tar_of(built))], built.config)
    with images.rootfs(image) as root:

        def inside(*command):
            command = ["chroot", root, *command]
            return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)

        shown = inside("/bin/sh", "-c", "id -u; ls -d /tmp; cat /etc/group | head -n 1")
        assert (shown.stdout, shown.stderr) == ("0\n/tmp\nroot:x:0:\n", "")
        programs = [Path("/", entry.path) for entry, _ in built.files.layer() if entry.type is EntryType.FILE]
        for path in programs:
            if path.parent.name in ("bin", "sbin"):
                assert "shared librar" not in inside(path, "--version").stderr


def test_an_ordinary_user_can(unprivileged):
    def making(folder):
        images = Layout(folder / "state")
        built = build()
        image = images.add(parse("host"), [io.BytesIO(tar_of(built))], built.config)
        with images.rootfs(image) as root:
            assert (root / "bin/sh").exists()

    unprivileged(making)


# Programs


@pytest.mark.parametrize("name", ["no-such-program", "./no-such-program", "/no/such/program"])
def test_a_program_that_is_not_there_is_named(name):
    with pytest.raises(NotFound, match=f"no program '{name}' is on this host"):
        build([name])


def test_the_nearest_program_is_offered(tmp_path, monkeypatch):
    (tmp_path / "frobnicate").write_text("#!/bin/sh\n")
    (tmp_path / "frobnicate").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:relative:/gone")
    with pytest.raises(NotFound, match=r"did you mean frobnicate\?"):
        build(["frobnicat"])
    monkeypatch.setattr(fromhost, "_SYSTEM_PATH", ())
    with pytest.raises(NotFound, match="name a program on PATH"):
        build(["zzzzzz"])


def test_a_host_without_the_usual_programs(monkeypatch):
    monkeypatch.setattr(fromhost, "PROGRAMS", ("no-such-program",))
    with pytest.raises(NotFound, match="none of the usual programs"):
        build()


def test_a_program_by_its_path_stays_there_and_is_the_command(tmp_path):
    script = tmp_path / "run"
    script.write_text("#!/bin/sh\necho hi\n")
    script.chmod(0o755)
    built = build([str(script)])
    tree = tree_of(built.files)
    assert tree[str(script)[1:]] == b"#!/bin/sh\necho hi\n"
    assert built.config.command == (str(script),)
    assert "sh" in {path.rpartition("/")[2] for path in tree}


def test_a_path_through_folders_that_may_not_be_entered(unprivileged, monkeypatch):
    def making(folder):
        (folder / "closed/bin").mkdir(parents=True)
        (folder / "closed").chmod(0o000)
        monkeypatch.setenv("PATH", f"{folder}/closed/bin:/usr/bin:/bin")
        assert build(["sh"]).config.command == ("/bin/sh",)
        with pytest.raises(NotFound, match="no program"):
            build(["no-such-program"])

    unprivileged(making)


def test_a_program_that_may_not_be_read_is_named(unprivileged):
    def making(folder):
        (folder / "secret").write_text("#!/bin/sh\n")
        (folder / "secret").chmod(0o111)
        with pytest.raises(HostUnfit, match=r"can't read .*secret: Permission denied"):
            build([str(folder / "secret")])

    unprivileged(making)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_libraries_elsewhere_bring_the_loaders_list_of_folders(tmp_path, monkeypatch, elsewhere):
    library = tmp_path / "libx.so.1"
    library.write_text("x")
    usual = next(each for each in fromhost.needs_of(Path("/bin/sh")) if "libc" in each or "ld" in each)
    monkeypatch.setattr(fromhost, "needs_of", lambda program: (usual, *([str(library)] if elsewhere else [])))
    monkeypatch.setattr(fromhost, "_LOADER_FILES", ("passw?",))
    built = build(["sh"])
    data = tree_of(built.files)["etc/passwd"]
    assert (data == Path("/etc/passwd").read_bytes()) == elsewhere


# Files


def test_links_on_the_way_are_kept(host):
    (host / "alternatives").symlink_to(host / "d")
    (host / "name").symlink_to("alternatives/../d/f")
    files = Files()
    assert files.same(str(host / "name")) == str(host / "d/f")
    tree = {path.removeprefix(str(host)[1:] + "/"): data for path, data in tree_of(files).items()}
    assert (tree["name"], tree["alternatives"], tree["d/f"]) == ("-> alternatives/../d/f", f"-> {host}/d", b"1")


def test_set_user_id_is_dropped(host):
    (host / "d/f").chmod(0o6755)
    files = Files()
    files.same(str(host / "d/f"))
    files.copy(host / "d", "/opt")
    assert {entry.mode for entry, _ in files.layer() if entry.path.endswith("f")} == {0o755}


def test_folders_are_added_whole(host):
    files = Files()
    files.copy(host / "d", "/opt/x")
    assert tree_of(files) == {"opt": None, "opt/x": None, "opt/x/f": b"1", "opt/x/l": "-> ../nowhere"}


def test_additions_go_through_the_images_own_links(host):
    files = Files()
    files.folder("usr/bin")
    files._put(layer.LayerEntry("bin", EntryType.SYMLINK, link="usr/bin"), b"")
    files._put(layer.LayerEntry("abs", EntryType.SYMLINK, link="/usr/../usr"), b"")
    files.copy(host / "d/f", "/bin/f")
    files.copy(host / "d/f", "/abs/g")
    assert {"usr/bin/f", "usr/g"} <= set(tree_of(files))


def test_adding_to_the_root(host):
    files = Files()
    files.copy(host, "/")
    assert set(tree_of(files)) == {"d", "d/f", "d/l"}


@pytest.mark.parametrize("target", ["relative", "/a/../../b", ""])
def test_a_target_that_leads_out_is_refused(host, target):
    with pytest.raises(Invalid, match="is no place in an image"):
        Files().copy(host, target)


def test_one_place_can_not_be_two_things(host):
    files = Files()
    files.copy(host / "d/f", "/a")
    with pytest.raises(Conflict, match="/a would be both a file and a folder"):
        files.copy(host / "d", "/a")
    files.copy(host / "d/l", "/b")
    with pytest.raises(Conflict, match="/b would be both a link and a file"):
        files.copy(host / "d/f", "/b")
    with pytest.raises(Conflict, match="/a would be both a file and a folder"):
        files.copy(host / "d/f", "/a/b")


def test_a_later_file_wins(host):
    files = Files()
    files.copy(host / "d/f", "/a")
    (host / "new").write_text("2")
    files.copy(host / "new", "/a")
    assert tree_of(files) == {"a": b"2"}


def test_sockets_are_refused(host):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(host / "d/s"))
        with pytest.raises(Invalid, match="neither file, folder nor link"):
            Files().copy(host / "d", "/a")


def test_what_is_no_file_is_no_program(host):
    os.mkfifo(host / "fifo")
    with pytest.raises(Invalid, match="is no regular file"):
        Files().same(str(host / "fifo"))


def test_links_in_circles(host):
    (host / "a").symlink_to("b")
    (host / "b").symlink_to("a")
    with pytest.raises(HostUnfit, match="circles of links"):
        Files().same(str(host / "a"))


def test_what_is_not_there_is_named(host):
    with pytest.raises(HostUnfit, match=r"can't read .*gone: No such file"):
        Files().same(str(host / "gone"))
    with pytest.raises(HostUnfit, match=r"can't read .*gone: No such file"):
        Files().copy(host / "gone", "/a")


def test_what_goes_while_it_is_read_is_named(host):
    files = Files()
    files.same(str(host / "d/f"))
    (host / "d/f").unlink()
    with pytest.raises(HostUnfit, match=r"can't read .*d/f: No such file"), layer.write(files.layer()) as tar:
        tar.read()


def test_what_grows_while_it_is_read_is_named(host):
    files = Files()
    files.same(str(host / "d/f"))
    (host / "d/f").write_text("longer")
    with pytest.raises(Conflict, match="changed its size"), layer.write(files.layer()) as tar:
        tar.read()


def test_folders_that_may_not_be_listed_are_named(unprivileged):
    def adding(folder):
        (folder / "a/b").mkdir(parents=True)
        (folder / "a/b").chmod(0o111)
        with pytest.raises(HostUnfit, match=r"can't read .*a/b: Permission denied"):
            Files().copy(folder / "a", "/a")

    unprivileged(adding)
