"""What the command imports: half of its time once was the standard library's, which nothing in it needs."""

import json
import subprocess
import sys

import pytest

SLOW = {
    "collections", "contextlib", "enum", "functools", "json", "pathlib", "platform", "re", "shutil", "signal", "socket",
    "ctypes", "resource", "struct", "subprocess", "termios", "typing", "attr",
}  # fmt: skip
CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
sys.modules.pop("json")
before = set(sys.modules)
for name in list(before):
    if name.partition(".")[0] in {slow}:
        del sys.modules[name]
from moby_runtime.native.cli.main import main
code = main()
print("imported", *sorted({slow} & set(sys.modules)))
sys.stdout.flush()
import os
os._exit(code)
"""


@pytest.mark.parametrize("seccomp", [False, True], ids=["plain", "seccomp"])
def test_a_container_is_run_without_slow_imports(command, seccomp) -> None:
    data = command.config("true")
    if seccomp:
        data["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
        }
    _without_slow_imports(command.argv("run", "-b", command.bundle(data=data), "box"))


def test_one_that_is_not_there_is_deleted_without_slow_imports(command) -> None:
    """As containerd's shims do once more after each container."""
    _without_slow_imports(command.argv("delete", "--force", "nobody"))


def _without_slow_imports(argv) -> None:
    code, words = CODE.replace("{slow}", repr(SLOW)), [*argv][1:]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, json.dumps([each for each in sys.path if each]), *map(str, words)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "imported\n"
