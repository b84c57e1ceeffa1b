"""What attacks are made of: a victim outside, code that runs inside, and a runtime that is weakened on purpose."""

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from moby.contracts.images import ImageConfig
from moby.host import mounts
from moby.oci.spec import Request, container_spec
from moby.oci.user import User
from moby.testing.boxes import Boxes, read_all, run_inside
from moby.testing.bundles import PROGRAMS, make_rootfs

TRIED = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)

def c(function, *arguments):
    result = function(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result

def attempt(name, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)
    else:
        print(name, "done", flush=True)

def write(path, text="x"):
    with open(path, "w") as file:
        file.write(text)

def mount(source, target, kind, data=None, flags=0):
    texts = [text.encode() if text is not None else None for text in (source, target, kind)]
    c(libc.mount, *texts, flags, data.encode() if data else None)
"""
"""What the code of an attack begins with: it says for each attempt whether it was done, or the error's name."""

PYTHON = "/usr/bin/python3"
_MODULES = (
    "ctypes errno fcntl glob importlib.util mmap os pathlib select signal socket struct subprocess sys termios time"
)


def attacker_root(folder: Path) -> Path:
    """Make a root file system with a copy of this interpreter: as the host's own file it would be refused."""
    root = make_rootfs(folder, (*PROGRAMS, "ln", "mv", "rm"))
    listing = f"import sys, {', '.join(_MODULES.split())}; print(*(m.__file__ for m in list(sys.modules.values())"
    listing += " if getattr(m, '__file__', None)), sep='\\n')"
    files = subprocess.run(
        [sys.executable, "-ISc", listing], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()  # fmt: skip
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = Path(sys.executable).resolve()
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, root / PYTHON.lstrip("/"))
    _copy_libraries(program, root)
    encodings = [str(path) for path in Path(os.__file__).parent.glob("encodings/*.py")]
    for each in {*files, *encodings}:
        _, _, below = each.rpartition(f"/{version}/")
        target = root / "usr/lib" / version / below
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(each, target)
        if each.endswith(".so"):
            _copy_libraries(Path(each), root)
    return root


def _copy_libraries(program: Path, root: Path) -> None:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, timeout=10).stdout
    for library in (word for line in listed.splitlines() for word in line.split() if word.startswith("/")):
        target = root / library.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(library).resolve(), target)


@frozen
class Victim:
    """A folder of the host with a secret in it, which no container is given."""

    folder: Path
    SECRET = "the host's own"

    @classmethod
    def make(cls, folder: Path) -> "Victim":
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "secret").write_text(cls.SECRET, encoding="ascii")
        (folder / "secret").chmod(0o600)
        (folder / "ptmx").write_text("of the host", encoding="ascii")
        (folder / "below").mkdir()
        return cls(folder)

    @property
    def secret(self) -> Path:
        return self.folder / "secret"

    def seen(self) -> dict[str, object]:
        """Everything about it that an attack could change."""
        found: dict[str, object] = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            told = (stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_nlink)
            content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.folder))] = (*told, content)
        found["."] = self.folder.stat().st_mode
        found["mounts"] = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "victim" in line]
        return found


def code(text: str) -> list[str]:
    """Arguments that run an attack's code."""
    return [PYTHON, "-ISBc", TRIED + textwrap.dedent(text)]


def tried(boxes: Boxes, text: str, data: Mapping[str, Any] | None = None, **process: Any) -> dict[str, str]:
    """Run an attack's code in a container of its own; return what each attempt came to."""
    found = dict(data if data is not None else boxes.config())
    found["process"] = {**found["process"], "args": code(text), **process}
    ended, said = boxes.run_config(found)
    assert ended == 0, said
    return outcome(said)


def tried_inside(boxes: Boxes, name: str, text: str, **process: Any) -> dict[str, str]:
    """Run an attack's code by exec in a container that runs; return what each attempt came to."""
    ended, said = run_inside(boxes, name, *code(text), **process)
    assert ended == 0, said
    return outcome(said)


def outcome(said: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in said.splitlines())


def docker_like(boxes: Boxes, *args: str, user: User | None = None, **asked: Any) -> dict[str, Any]:
    """The config.json of a container as Docker's users get it."""
    rootfs = boxes.bundles.rootfs
    request = Request(hostname="box", command=args or ("true",), **asked)
    return container_spec(ImageConfig(), request, user=user or User(), rootfs=rootfs)


def tampered(boxes: Boxes, name: str, data: Mapping[str, Any]) -> Path:
    """Make a bundle with folders of its own, to plant things in; its files are those of the shared root."""
    bundle = boxes.bundles.make(name, data)
    (bundle / "rootfs").unlink()
    shutil.copytree(boxes.bundles.rootfs, bundle / "rootfs", symlinks=True, copy_function=os.link)
    return bundle


def run_bundle(boxes: Boxes, bundle: Path, name: str, *, terminal: bool = False) -> str:
    """Run a bundle to its end, and return what it said."""
    box = boxes.create_in(bundle, name, terminal=terminal)
    boxes.runtime.start(box.id)
    text = read_all(box.output)
    box.code()
    boxes.runtime.delete(box.id)
    return text


def resolve_carelessly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weaken: paths inside the root are opened by joining strings, so that links lead wherever they say."""

    def careless(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0, **more: Any) -> int:
        return os.open(path.lstrip("/") or ".", flags | os.O_CLOEXEC, mode, dir_fd=root_fd)

    monkeypatch.setattr(mounts, "open_in_root", careless)
