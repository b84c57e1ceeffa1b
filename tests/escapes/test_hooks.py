"""Hooks: programs of the host that are started for a container get nothing that its image or user chose."""

import json
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import tampered

from moby.errors import Invalid
from moby.testing.boxes import Boxes

HOSTILE = [
    "PATH=/evil:/bin", "LD_PRELOAD=/proc/self/cwd/evil.so", "LD_LIBRARY_PATH=.", "LD_AUDIT=evil.so", "BASH_ENV=/evil",
    "ENV=/evil", "PYTHONPATH=/evil", "PYTHONSTARTUP=/evil", "HOME=/evil", "GCONV_PATH=.",
]  # fmt: skip
TOLD = {
    "createRuntime": "host", "createContainer": "host", "poststart": "host", "prestart": "host", "poststop": "host",
    "startContainer": "container",
}  # fmt: skip


def hooked(boxes: Boxes, name: str, script: str, **hook: Any) -> tuple[Path, dict[str, Any]]:
    data = boxes.config("true", env=HOSTILE)
    data["annotations"] = {"LD_PRELOAD": "evil.so", "a": "$(touch /evil); `id`"}
    data["hooks"] = {name: [{"path": "/bin/sh", "args": ["sh", "-c", script], **hook}]}
    bundle = tampered(boxes, "hooked", data)
    for path in ("evil.so", "lib/evil.so", "evil"):
        (bundle / "rootfs" / path).write_bytes(b"not a library")
    return bundle, data


def run(boxes: Boxes, bundle: Path) -> None:
    box = boxes.create_in(bundle, "hooked")
    boxes.runtime.start(box.id)
    box.code()
    boxes.runtime.delete(box.id)


@pytest.mark.parametrize("name", TOLD)
def test_their_environment(boxes: Boxes, name: str, tmp_path: Path) -> None:
    """CVE-2025-23266: the container's environment, LD_PRELOAD too, was the hook's, which is root's."""
    told = tmp_path / "told" if TOLD[name] == "host" else Path("/told")
    bundle, _ = hooked(boxes, name, f'echo "env: $(/bin/cat /proc/$$/environ)" > {told}')
    run(boxes, bundle)
    place = told if TOLD[name] == "host" else bundle / "rootfs/told"
    assert place.read_bytes().replace(b"\0", b"").strip() == b"env:"
    assert not (bundle / "rootfs/evil/made").exists()


@pytest.mark.parametrize("name", TOLD)
def test_their_own_environment(boxes: Boxes, name: str, tmp_path: Path) -> None:
    told = tmp_path / "told" if TOLD[name] == "host" else Path("/told")
    bundle, _ = hooked(boxes, name, f'echo "$OWN" > {told}', env=["OWN=its own", "PATH=/bin"])
    run(boxes, bundle)
    assert (told if TOLD[name] == "host" else bundle / "rootfs/told").read_text() == "its own\n"


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("path", ["evil", "./evil", "", "bin/sh", "../bin/sh"])
def test_their_paths(boxes: Boxes, name: str, path: str) -> None:
    """CVE-2025-23266: a path that isn't absolute would be looked for in the image, or in the caller's folder."""
    bundle, data = hooked(boxes, name, "true")
    data["hooks"][name][0]["path"] = path
    (bundle / "config.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(Invalid, match=rf"hooks\.{name}\[0\]\.path"):
        boxes.create_in(bundle, "hooked")


def test_a_hooks_program_is_the_containers_own_inside(boxes: Boxes) -> None:
    """CVE-2019-5736: startContainer, too, is run inside, where /proc/self/exe would be the host's interpreter."""
    bundle, data = hooked(boxes, "startContainer", "true")
    data["hooks"]["startContainer"][0]["path"] = "/exe"
    (bundle / "rootfs/exe").symlink_to("/proc/self/exe")
    (bundle / "config.json").write_text(json.dumps(data), encoding="utf-8")
    box = boxes.create_in(bundle, "hooked")
    with pytest.raises(Invalid, match=r"hooks\.startContainer\[0\]"):
        boxes.runtime.start(box.id)
