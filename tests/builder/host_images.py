"""Base images of the host's own programs: a Python, a C compiler, a Node."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from moby.testing.bundles import PROGRAMS, make_rootfs

_MORE = ("cp", "chmod", "grep", "rm", "seq", "wc", "ln", "sort", "mv", "tail", "kill")
_LIBRARY = re.compile(r"(/\S+) \(0x")
_USERS = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\n"


def base(folder):
    """Make a root with everyday programs and a user `app`."""
    root = make_rootfs(folder, (*PROGRAMS, *_MORE))
    (root / "etc/passwd").write_text(_USERS)
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\n")
    return root


def python(folder):
    """Make a root with the Python that runs this, at its own place and as python3."""
    root, own = base(folder), Path(sys.executable).resolve()
    library = Path(sysconfig.get_paths()["stdlib"])
    left_out = shutil.ignore_patterns(
        "test", "tests", "site-packages", "dist-packages", "__pycache__", "config-*", "*.a", "idlelib"
    )
    shutil.copytree(library, root / str(library).lstrip("/"), ignore=left_out, symlinks=False)
    _put(root, own, *(library / "lib-dynload").glob("*.so"))
    (root / "bin/python3").symlink_to(own)
    return root


def compiler(folder, source):
    """Make a root with the C compiler, and just the headers that a source includes."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("this host has no C compiler")

    def place(kind, name):
        found = _said(gcc, f"-print-{kind}-name={name}")
        return Path(shutil.which(found) or found)

    root = base(folder)
    programs = [place("prog", each) for each in ("cc1", "as", "ld", "collect2")]
    parts = [
        place("file", each)
        for each in ("crt1.o", "crti.o", "crtn.o", "crtbeginT.o", "crtend.o", "libgcc.a", "libgcc_eh.a", "libc.a",
                     "liblto_plugin.so")
    ]  # fmt: skip
    headers = [
        Path(each) for each in _said(gcc, "-O1", "-M", str(source)).replace("\\\n", " ").split() if each[:1] == "/"
    ]
    _put(
        root,
        Path(gcc),
        *programs,
        *parts,
        *(each for each in headers if source.parent not in each.parents and each != source),
    )
    (root / "bin/cc").symlink_to(gcc)
    for each in ("as", "ld"):
        if not (root / "usr/bin" / each).exists():
            (root / "usr/bin" / each).symlink_to(place("prog", each))
    return root


def node(folder):
    """Make a root with Node."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("this host has no node")
    root = base(folder)
    _put(root, Path(found).resolve())
    (root / "bin/node").symlink_to(Path(found).resolve())
    return root


def packed(root, path):
    """Write a root as the archive that `docker import` takes."""
    with tarfile.open(path, "w") as out:
        out.add(root, ".", filter=lambda each: each.replace(uid=0, gid=0, uname="", gname="", deep=False))
    return path


def _put(root, *files):
    """Copy files to where they are, with the libraries that they load."""
    listed = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    for each in {*map(str, files), *_LIBRARY.findall(listed)}:
        target = root / os.path.normpath(each).lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(each).resolve(), target)


def _said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
