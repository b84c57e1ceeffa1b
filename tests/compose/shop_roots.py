"""Roots for images of Debian's own programs, with the libraries that they load, where the programs expect them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from peers.binaries import ROOT, environment

_LIBRARY = re.compile(r"(/\S+) \(0x")
_USERS = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/data:/bin/sh\n"


def _there(pattern):
    """Return a path that fits, unpacked or of the machine's own; skip where there is none."""
    for root in (ROOT, Path("/")):
        if found := sorted(root.glob(pattern.lstrip("/"))):
            return found[-1]
    return pytest.skip(f"{pattern} is not there; `tools/peers shop` unpacks it")


def _inside(path):
    """Return where a file is in an image."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path).lstrip("/")


def _copy(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source.resolve(), target)


def _put(root, path, name=""):
    """Copy a program or a library with all that it loads."""
    _copy(path, root / (name or _inside(path)))
    loaded = environment(LD_TRACE_LOADED_OBJECTS="1")
    told = subprocess.run([path], env=loaded, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    for each in _LIBRARY.findall(told.stdout):
        _copy(Path(each), root / _inside(Path(each)))


def _base(root, *programs):
    for folder in ("etc", "tmp", "run", "srv", "root", "dev", "proc", "sys"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/passwd").write_text(_USERS)
    (root / "etc/group").write_text("root:x:0:\npostgres:x:70:\n")
    for each in ("sh", "mkdir", "chmod", "chown", *programs):
        _put(root, _there(f"/usr/bin/{each}"), f"usr/bin/{each}")
    (root / "bin").symlink_to("usr/bin")
    for each in ("lib", "lib64"):
        if (found := root / each).is_dir() and not found.is_symlink():
            shutil.copytree(found, root / "usr" / each, dirs_exist_ok=True)
            shutil.rmtree(found)
        (root / "usr" / each).mkdir(parents=True, exist_ok=True)
        found.symlink_to(f"usr/{each}")


def web(root):
    _put(root, _there("/usr/sbin/nginx"), "usr/sbin/nginx")
    _base(root)


def cache(root):
    _put(root, _there("/usr/bin/redis-check-rdb"), "usr/bin/redis-server")
    _put(root, _there("/usr/bin/redis-cli"), "usr/bin/redis-cli")
    _base(root)


def db(root):
    programs = _there("/usr/lib/postgresql/*/bin/postgres").parent
    version = programs.parent.name
    for name in ("postgres", "initdb", "psql"):
        _put(root, programs / name)
    (root / "usr/lib/postgresql/bin").symlink_to(f"{version}/bin")
    for each in (programs.parent / "lib").glob("*.so"):
        if "llvm" not in each.name:
            _copy(each, root / _inside(each))
    share = _there(f"/usr/share/postgresql/{version}")
    shutil.copytree(share, root / _inside(share))
    for zone in ("UTC", "Etc/UTC", "GMT"):
        _copy(_there(f"/usr/share/zoneinfo/{zone}"), root / "usr/share/zoneinfo" / zone)
    _base(root)


def api(root):
    python = _there("/usr/bin/python3.[0-9][0-9]")
    _put(root, python, "usr/bin/python3")
    library = _there(f"/usr/lib/{python.name}")
    left = shutil.ignore_patterns(
        "test", "idlelib", "__pycache__", "config-*", "ensurepip", "dist-packages", "pydoc_data"
    )
    shutil.copytree(library, root / _inside(library), ignore=left)
    for each in (root / _inside(library) / "lib-dynload").glob("*.so"):
        if each.name.startswith(("_ssl", "_hashlib", "_curses", "_tkinter", "_sqlite3", "_dbm", "readline")):
            each.unlink()
    _put(root, _there("/usr/lib/postgresql/*/bin/psql"), "usr/bin/psql")
    _base(root)


def lay(folder):
    """Put roots beside the Dockerfiles of an application's services."""
    for service in (web, cache, db, api):
        root = folder / service.__name__ / "root"
        root.mkdir(parents=True)
        service(root)
