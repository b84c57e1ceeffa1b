"""Copies that BuildKit and we are to make alike: a context, a root, and lines of a Dockerfile as our operations."""

import io
import os
import re
import tarfile

from benches import copying
from moby_builder.dockerfile.operations import Node, Owner, StreamSource

TIME_S = 1_500_000_000
"""When all files of the context and of the root were written."""

_FOLDERS = {"dir": 0o750, "dir/sub": 0o700, "dir/deep": 0o755, "dir/deep/er": 0o755, "empty": 0o711, "pair": 0o755}
_FILES = {
    "a.txt": (0o644, "a"), "b.txt": (0o600, "b"), "run.sh": (0o755, "#!"), "dir/x": (0o640, "x"),
    "dir/sub/y": (0o4755, "y"), "dir/deep/er/z.go": (0o644, "z"), "spaces in": (0o644, "s"),
    "star[1].txt": (0o644, "*"),
    "old.gz": (0o644, "no archive at all"), "-dash": (0o644, "-"),
}  # fmt: skip
_LINKS = {
    "link": "a.txt", "linkdir": "dir", "dir/up": "../a.txt", "dir/broken": "nowhere", "dangling": "gone",
    "dir/out": "/etc/passwd", "round": "round",
}  # fmt: skip


def _member(name, kind=tarfile.REGTYPE, mode=0o644, data=b"", link="", owner=(0, 0)):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname, entry.mtime = kind, mode, len(data), link, TIME_S
    entry.uid, entry.gid = owner
    return entry, data


def _tar(members, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for entry, data in members:
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def base():
    """Return the root that is copied into, as a tar."""
    folder, link = tarfile.DIRTYPE, tarfile.SYMTYPE
    return _tar([
        _member("etc", folder, 0o755),
        _member("etc/passwd", data=b"root:x:0:0::/root:/bin/sh\nann:x:7:8::/:/bin/sh\n11:x:12:13::/:/bin/sh\n"),
        _member("etc/group", data=b"root:x:0:\nstaff:x:50:ann\n"),
        _member("usr", folder, 0o755), _member("usr/bin", folder, 0o755),
        _member("usr/bin/tool", mode=0o755, data=b"t"),
        _member("bin", link, link="usr/bin"), _member("file", data=b"file"),
        _member("folder", folder, 0o700, owner=(5, 6)), _member("folder/x", data=b"old", owner=(5, 6)),
        _member("folder/sub", folder, 0o711, owner=(5, 6)), _member("folder/sub/kept", data=b"kept"),
        _member("clash", folder, 0o755), _member("clash/sub", data=b"a file"),
        _member("clash/x", folder, 0o755), _member("clash/x/in", data=b"in"),
        _member("linked", folder, 0o755), _member("linked/sub", link, link="/folder"),
        _member("linked/x", link, link="/file"),
        _member("to-folder", link, link="/folder"), _member("to-file", link, link="file"),
        _member("up", link, link="../../folder"), _member("nowhere", link, link="/not/there"),
        _member("loop", link, link="loop"),
    ])  # fmt: skip


def archive():
    """Return an archive to be unpacked, with things that are to stay inside."""
    return [
        _member("top", data=b"top", owner=(3, 4)), _member("sub", tarfile.DIRTYPE, 0o700, owner=(3, 4)),
        _member("sub/inner", data=b"i", mode=0o4711), _member("sub/again", tarfile.LNKTYPE, 0o4711, link="sub/inner"),
        _member("away", tarfile.SYMTYPE, link="/file"),
    ]  # fmt: skip


def context(folder):
    """Write the context."""
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    for name, (mode, text) in _FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    for name, link in _LINKS.items():
        (folder / name).symlink_to(link)
    (folder / "pair/first").write_text("linked")
    os.link(folder / "pair/first", folder / "pair/second")
    for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tar.bz2", "w:bz2"), (".tar.xz", "w:xz")):
        (folder / f"pack{suffix}").write_bytes(_tar(archive(), mode))
    (folder / "over.tar").write_bytes(_tar([
        _member("file", tarfile.DIRTYPE, 0o755), _member("folder", data=b"now a file"), _member("bin/new", data=b"n"),
    ]))  # fmt: skip
    (folder / "base.tar").write_bytes(base())
    for name, mode in _FOLDERS.items():
        (folder / name).chmod(mode)
    for each in sorted(folder.rglob("*"), reverse=True):
        os.utime(each, (TIME_S, TIME_S), follow_symlinks=False)
    return folder


OTHER = Node(StreamSource("base"))
"""The root as a source."""
CASES = {
    # One file
    "file to new": copying("/a.txt", to="/new"),
    "file to new folder": copying("/a.txt", to="/new/"),
    "file to deep": copying("/a.txt", to="/one/two/three"),
    "file over file": copying("/a.txt", to="/file"),
    "file into folder": copying("/a.txt", to="/folder"),
    "file into folder with slash": copying("/a.txt", to="/folder/"),
    "file over a folder inside": copying("/dir/x", to="/clash/"),
    "file below a file": copying("/a.txt", to="/file/in"),
    "file to a file with slash": copying("/a.txt", to="/file/"),
    "file through link": copying("/a.txt", to="/to-folder/"),
    "file at link to folder": copying("/a.txt", to="/to-folder"),
    "file at link to file": copying("/a.txt", to="/to-file"),
    "file over link in folder": copying("/dir/x", to="/linked/"),
    "file through link upwards": copying("/a.txt", to="/up/in"),
    "file through dangling link": copying("/a.txt", to="/nowhere"),
    "file below dangling link": copying("/a.txt", to="/nowhere/in"),
    "file through loop": copying("/a.txt", to="/loop/in"),
    "file below linked bin": copying("/run.sh", to="/bin/run"),
    "program's mode": copying("/run.sh", to="/new"),
    "set user id stays": copying("/dir/sub/y", to="/new"),
    "name with spaces": copying("/spaces in", to="/a b"),
    "name with a dash": copying("/-dash", to="/new"),
    "missing": copying("/none", to="/new"),
    "missing in folder": copying("/dir/none", to="/new"),
    # Links as sources
    "link to file": copying("/link", to="/new"),
    "link into folder": copying("/link", to="/folder/"),
    "link to folder": copying("/linkdir", to="/new"),
    "through link to folder": copying("/linkdir/x", to="/new"),
    "dangling link": copying("/dangling", to="/new"),
    "link in folder": copying("/dir/up", to="/new"),
    "link out of context": copying("/dir/out", to="/new"),
    # Folders
    "folder to new": copying("/dir", to="/new"),
    "folder to new with slash": copying("/dir", to="/new/"),
    "folder with slash to new": copying("/dir/", to="/new"),
    "folder into folder": copying("/dir", to="/folder"),
    "folder over file": copying("/dir", to="/file"),
    "folder's folder over file": copying("/dir", to="/clash"),
    "folder's folder over link": copying("/dir", to="/linked"),
    "empty folder": copying("/empty", to="/new"),
    "folder through link": copying("/dir", to="/to-folder"),
    "folder to dangling link": copying("/dir/deep", to="/nowhere"),
    "all": copying("/", to="/all/", exclude=()),
    "hard links": copying("/pair", to="/new"),
    "folder in folder": copying("/dir/deep/er", to="/new"),
    # Several
    "two": copying("/a.txt", "/b.txt", to="/new/"),
    "file and folder": copying("/a.txt", "/dir/deep", to="/new/"),
    "one missing of two": copying("/a.txt", "/none", to="/new/"),
    # Wildcards
    "star": copying("/*.txt", to="/new/"),
    "star of one": copying("/a*.txt", to="/new"),
    "star into one name": copying("/[ab].txt", to="/new"),
    "question mark": copying("/?.txt", to="/new/"),
    "class": copying("/[a-b].txt", to="/new/"),
    "class of others": copying("/[^a].txt", to="/new/"),
    "escaped class": copying("/star[[]1].txt", to="/new"),
    "star of folders": copying("/d*", to="/new/"),
    "star below folder": copying("/dir/*", to="/new/"),
    "star above": copying("/*/x", to="/new/"),
    "star twice": copying("/d*/*/*", to="/new/"),
    "star of links": copying("/link*", to="/new/"),
    "star through link": copying("/linkdir/*", to="/new/"),
    "star without any": copying("/*.none", to="/new/", require=False),
    "star and file": copying("/*.none", "/a.txt", to="/new/", require=False),
    # Owners
    "owner": copying("/a.txt", to="/new", owner=Owner("7", "9")),
    "owner alone": copying("/a.txt", to="/new", owner=Owner("7")),
    "owner's name": copying("/a.txt", to="/new", owner=Owner("ann")),
    "owner and group": copying("/a.txt", to="/new", owner=Owner("ann", "staff")),
    "number and group's name": copying("/a.txt", to="/new", owner=Owner("5", "staff")),
    "number that is a name": copying("/a.txt", to="/new", owner=Owner("11")),
    "owner of folders": copying("/dir", to="/one/two", owner=Owner("7", "8")),
    "owner into folder": copying("/dir", to="/folder", owner=Owner("7", "8")),
    "unknown user": copying("/a.txt", to="/new", owner=Owner("nobody")),
    "unknown group": copying("/a.txt", to="/new", owner=Owner("ann", "nobody")),
    # Modes
    "mode": copying("/a.txt", to="/new", mode="755"),
    "mode with set user id": copying("/a.txt", to="/new", mode="4755"),
    "mode of folders": copying("/dir", to="/one/two", mode="700"),
    "mode into folder": copying("/dir", to="/folder", mode="705"),
    # Archives
    "archive": copying("/pack.tar", to="/new", unpack=True),
    "archive by gzip": copying("/pack.tar.gz", to="/new/", unpack=True),
    "archive by bzip2": copying("/pack.tar.bz2", to="/new/", unpack=True),
    "archive by xz": copying("/pack.tar.xz", to="/new/", unpack=True),
    "archive into folder": copying("/pack.tar", to="/folder", unpack=True),
    "archive into root": copying("/pack.tar", to="/", unpack=True),
    "archive with owner": copying("/pack.tar", to="/one/two", unpack=True, owner=Owner("7", "8")),
    "archive over others": copying("/over.tar", to="/", unpack=True),
    "archive at file": copying("/pack.tar", to="/file", unpack=True),
    "archive through link": copying("/pack.tar", to="/to-folder", unpack=True),
    "no archive": copying("/old.gz", to="/new", unpack=True),
    "archive copied": copying("/pack.tar", to="/new"),
    "archive and file": copying("/pack.tar.gz", "/a.txt", to="/new/", unpack=True),
    "archives by star": copying("/pack.tar.*", to="/new/", unpack=True),
    # Of another root
    "owners of another root": copying("/folder", to="/new", source=OTHER),
    "link of another root": copying("/to-folder", to="/new", source=OTHER),
    "below a link of another root": copying("/up/x", to="/new", source=OTHER),
    "star of another root": copying("/f*", to="/new/", source=OTHER),
    "all of another root": copying("/", to="/new/", source=OTHER),
    "loop of another root": copying("/loop", to="/new", source=OTHER),
}


def line(node):
    """Return the instruction that an operation is of."""
    copy = node.operation
    words = ["ADD" if copy.sources[0].unpack else "COPY"]
    if node.inputs[1] is OTHER:
        words.append("--from=base")
    if copy.owner is not None:
        words.append(f"--chown={copy.owner.user}{':' * bool(copy.owner.group)}{copy.owner.group}")
    if copy.mode:
        words.append(f"--chmod={copy.mode}")
    paths = ", ".join(f'"{each}"' for each in (*(source.path for source in copy.sources), copy.target))
    return f"{' '.join(words)} [{paths}]"


DIFFERENCES = {
    ("all", "all/pair"), ("all", "all/dir"), ("hard links", "new"), ("folder to new", "new"),
    ("folder to new with slash", "new"), ("folder with slash to new", "new"), ("folder into folder", "folder"),
}  # fmt: skip
"""Folders whose times BuildKit loses, as more files come into what it keeps of the context."""


def settled(name, answer):
    """Return an answer without what is other each time: folders of dockerd's, times that it loses."""
    if isinstance(answer, str):
        text = re.sub(r"/var/lib/docker/overlay2/\w+/merged", "", answer)
        text = re.sub(r"ref \S+::\S+:", "ref:", text)
        return text.removeprefix("ERROR: failed to solve: ").replace('"/linkdir/nowhere"', '"/dir/nowhere"')
    lost = {path for each, path in DIFFERENCES if each == name}
    return {path: text.replace(" new ", " kept ") if path in lost else text for path, text in answer.items()}


def described(data):
    """Return what is in a tar of a root, by path."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for each in tar:
            name = each.name.strip("/").removeprefix("./")
            if name in ("", "."):
                continue
            kind = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.LNKTYPE: "h"}.get(each.type, "-")
            file = tar.extractfile(each) if kind == "-" else None
            text = file.read().decode(errors="replace") if file else each.linkname
            if len(text) > 100:
                text = f"{len(text)} characters"
            mode = "" if kind == "l" else f"{each.mode:o}"
            time = "kept" if each.mtime == TIME_S else "new"
            found[name] = f"{kind}{mode} {each.uid}:{each.gid} {time} {text}"
    return found
