"""The HOME that a program gets where its environment has none: of the container's own /etc/passwd, whatever that is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from moby_runtime.native.runtime import Native

from moby.testing.boxes import Boxes, MakeRuntime
from moby.testing.runtime import RuntimeFixtures

ROOT = "root:x:0:0:root:/there:/bin/sh\n"


class TestHome(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.mark.parametrize(
        ("make", "home"),
        [
            pytest.param(lambda file: file.write_text(ROOT), "/there", id="user"),
            pytest.param(
                lambda file: file.write_text(f"#\n\n::\nroot:x:0:0\nx:x:00:0::/x:\n{ROOT}"), "/there", id="more"
            ),
            pytest.param(lambda file: file.write_text("a:x:7:7::/seven:/bin/sh\n"), "/", id="others"),
            pytest.param(lambda file: file.write_text("root:x:0:0:root:relative:/bin/sh\n"), "/", id="relative"),
            pytest.param(lambda file: file.write_bytes(b"\xff\0" * 1000), "/", id="bytes"),
            pytest.param(os.mkfifo, "/", id="pipe"),
            pytest.param(lambda file: file.mkdir(), "/", id="folder"),
            pytest.param(lambda file: file.symlink_to("/proc/self/environ"), "/", id="link"),
        ],
    )
    def test_of_its_passwd(self, boxes: Boxes, make: Callable[[Path], object], home: str) -> None:
        folder = boxes.bundles.folder / "etc"
        folder.mkdir()
        make(folder / "passwd")
        data = boxes.config("sh", "-c", 'echo "$HOME"', env=["PATH=/bin"])
        data["mounts"].append({"destination": "/etc", "source": str(folder), "options": ["bind"]})
        assert boxes.run_config(data) == (0, f"{home}\n")

    def test_an_empty_one_is_none(self, boxes: Boxes) -> None:
        code, text = boxes.run("env", env=["PATH=/bin", "HOME="])
        assert (code, [line for line in text.splitlines() if line.startswith("HOME")]) == (0, ["HOME=/root"])
