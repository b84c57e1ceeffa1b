"""Paths that are hidden or made read-only are so wherever they lie."""

import os

import pytest


def run(runtime, bundle):
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    from moby.contracts.types import Stdio

    process = runtime.create("a", bundle, Stdio(null, write, write))
    os.close(write)
    os.close(null)
    runtime.start("a")
    with os.fdopen(read) as output:
        text = output.read()
    os.waitid(os.P_PIDFD, process.exit_fd, os.WEXITED)
    os.close(process.exit_fd)
    runtime.delete("a")
    return text


@pytest.mark.parametrize(
    ("kind", "path", "script"),
    [
        pytest.param("maskedPaths", "/etc/passwd", "cat /etc/passwd", id="a-file-of-the-image"),
        pytest.param("maskedPaths", "/etc", "ls /etc", id="a-folder-of-the-image"),
        pytest.param("maskedPaths", "/proc", "ls /proc", id="a-whole-mount"),
        pytest.param("maskedPaths", "/link/passwd", "cat /etc/passwd", id="behind-a-link"),
        pytest.param("readonlyPaths", "/etc", "echo x > /etc/new || echo no", id="readonly-folder"),
        pytest.param("readonlyPaths", "/tmp", "echo x > /tmp/new || echo no", id="readonly-mount"),
        pytest.param("readonlyPaths", "/link", "echo x > /etc/new || echo no", id="readonly-behind-a-link"),
    ],
)
def test_paths(runtime, bundles, data, kind, path, script):
    config = data("sh", "-c", script)
    config["linux"][kind] = [path]
    bundle = bundles.make("a", config, shared=False)
    (bundle / "rootfs/link").symlink_to("/etc")
    assert run(runtime, bundle).splitlines()[-1:] == ([] if kind == "maskedPaths" else ["no"])
