"""Machines in tests: an image of busybox, a manifest, and `moby boot` as users call it."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from peers import binaries

MOBY = str(Path(sys.executable).with_name("moby"))
SHELL = ("/bin/busybox", "sh", "-c")
LATEST_S = 300


def busybox_image(path: Path) -> Path:
    """Write an image that holds busybox alone, as docker save did."""
    program = binaries.need("busybox", "busybox").read_bytes()
    layer = tarred({"bin/busybox": program}, mode=0o755)
    digest = hashlib.sha256(layer).hexdigest()
    about = {
        "os": "linux", "architecture": "amd64", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    listed = [{"Config": "about.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]
    files = {"about.json": json.dumps(about).encode(), "layer.tar": layer}
    path.write_bytes(tarred({**files, "manifest.json": json.dumps(listed).encode()}))
    return path


def tarred(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    """Return a tar of files by path."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def service(name: str, image: Path, script: str, **more: Any) -> dict[str, Any]:
    """Return a service that runs a script of a shell."""
    return {"name": name, "image": str(image), "command": [*SHELL, script], **more}


def manifest(path: Path, **options: Any) -> Path:
    """Write an assembly whose machine has these options."""
    said = {
        "moby": 1, "name": path.stem, "extends": ["quickstart"], "components": {"command": ["run", "image", "bundle"]},
        "distribution": {"formats": ["vm"], "config": {"vm": {"kernel": str(binaries.ROOT), "level": 1, **options}}},
    }  # fmt: skip
    path.write_text(yaml.safe_dump(said))
    return path


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which there is the QEMU that was unpacked, and a cache of this test's own."""
    where = folder / "programs"
    where.mkdir(exist_ok=True)
    program = binaries.find("qemu-system-x86_64")
    if program is not None:
        folders = " ".join(f"-L {binaries.ROOT / 'usr/share' / each}" for each in ("qemu", "seabios"))
        (where / program.name).write_text(f'#!/bin/sh\nexec {program} {folders} "$@"\n')
        (where / program.name).chmod(0o755)
    found = binaries.environment(XDG_CACHE_HOME=str(folder / "cache"))
    return found | {"PATH": f"{where}{os.pathsep}{found['PATH']}"}


@contextmanager
def started(folder: Path, words: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
    """Lend `moby boot`, with its output in one pipe; nothing of it runs on."""
    process = subprocess.Popen(
        [MOBY, "boot", *words], env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            cut(process)
            process.kill()


def cut(process: "subprocess.Popen[str]") -> None:
    """Kill the machine at once, as a power cut does: all processes of the kernel, which are a group."""
    with suppress(FileNotFoundError):
        for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.killpg(int(each), signal.SIGKILL)


def booted(folder: Path, *words: str) -> tuple[int, str]:
    """Return the code of `moby boot` and what was said."""
    with started(folder, words) as process:
        said, _ = process.communicate(timeout=LATEST_S)
    return process.returncode, said
