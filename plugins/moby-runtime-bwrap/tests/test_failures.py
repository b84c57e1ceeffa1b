"""What fails leaves nothing, and says why."""

import os

import pytest
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, Unsupported
from moby.testing.bundles import config

from bwrap_runtime import binary
from bwrap_runtime.processes import with_argument
from bwrap_runtime.record import Folder
from bwrap_runtime.runtime import Bwrap


def reap(process):
    ended = os.waitid(os.P_PIDFD, process.exit_fd, os.WEXITED)
    os.close(process.exit_fd)
    return ended.si_status


def test_the_binary_named_must_be_there():
    with pytest.raises(HostUnfit, match="/no/bwrap") as caught:
        binary.find("/no/bwrap")
    assert "binary" in caught.value.hint


def test_without_any_binary(monkeypatch):
    monkeypatch.setattr(binary, "_bundled", lambda: "")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostUnfit, match="isn't installed") as caught:
        binary.find()
    assert "apt install bubblewrap" in caught.value.hint


def test_what_bubblewrap_says_is_passed_on(tmp_path, bundles, data, null, log):
    """A binary that fails stands for a host that forbids a step."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permission for this' >&2\nexit 1\n", encoding="ascii")
    fake.chmod(0o755)
    runtime = Bwrap(tmp_path / "run", binary=str(fake), strict=False, log=log)
    with pytest.raises(HostUnfit, match="No permission for this"):
        runtime.create("a", bundles.make("a", data()), null)
    assert runtime.list() == ()


def test_what_is_no_program_at_all(tmp_path, bundles, null, log):
    fake = tmp_path / "bwrap"
    fake.write_bytes(b"\x7fELF nonsense")
    fake.chmod(0o755)
    runtime = Bwrap(tmp_path / "run", binary=str(fake), strict=False, log=log)
    with pytest.raises(HostUnfit, match=f"can't run {fake}"):
        runtime.create("a", bundles.make("a", config(["true"], rootless=True)), null)
    assert runtime.list() == ()


def test_a_full_disk_leaves_nothing(runtime, bundles, data, null, monkeypatch):
    def full(self, record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "save", full)
    with pytest.raises(OSError, match="No space"):
        runtime.create("a", bundles.make("a", data()), null)
    assert runtime.list() == ()
    assert with_argument(Folder(runtime._root, "a").mark) == ()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_strict_refuses_what_is_only_nearly_so(tmp_path, bundles, data, null, log):
    runtime = Bwrap(tmp_path / "run", binary="", strict=True, log=log)
    with pytest.raises(Unsupported, match="noNewPrivileges"):
        runtime.create("a", bundles.make("a", data(noNewPrivileges=False)), null)


def test_a_script_without_its_interpreter_is_invalid(runtime, bundles, data, null):
    """Only the kernel knows, after the start."""
    bundle = bundles.make("a", data("/script"), shared=False)
    (bundle / "rootfs/script").write_text("#!/bin/absent\n", encoding="ascii")
    (bundle / "rootfs/script").chmod(0o755)
    process = runtime.create("a", bundle, null)
    with pytest.raises(Invalid, match="/script can't be run"):
        runtime.start("a")
    assert runtime.state("a").status is TaskStatus.STOPPED
    assert reap(process) != 0
    runtime.delete("a")


@pytest.mark.parametrize("program", [("true",), ("sh", "-c", "exit 3")])
def test_a_program_that_ends_at_once_has_run(runtime, bundles, data, null, program):
    process = runtime.create("a", bundles.make("a", data(*program)), null)
    runtime.start("a")
    assert reap(process) == (3 if len(program) > 1 else 0)
    runtime.delete("a")


def test_a_limit_beyond_the_callers_own(runtime, bundles, data, null):
    limits = [{"type": "RLIMIT_NOFILE", "soft": 2**40, "hard": 2**40}]
    with pytest.raises(HostUnfit, match=r"process\.rlimits"):
        runtime.create("a", bundles.make("a", data(rlimits=limits)), null)
    assert runtime.list() == ()
    assert with_argument(Folder(runtime._root, "a").mark) == ()


def test_a_container_killed_before_its_start(runtime, bundles, data, null):
    process = runtime.create("a", bundles.make("a", data()), null)
    runtime.kill("a", 9)
    reap(process)
    with pytest.raises(Conflict):
        runtime.start("a")
    runtime.delete("a")


def test_a_crash_in_the_middle_of_create_is_cleaned_up_by_force(runtime):
    """The folder is there, its record isn't."""
    Folder(runtime._root, "a").claim()
    assert runtime.state("a").status is TaskStatus.CREATING
    with pytest.raises(Conflict):
        runtime.delete("a")
    runtime.delete("a", force=True)
    assert runtime.list() == ()


@pytest.mark.parametrize("text", ["{", '{"format": 1}', '{"format": 9}'])
def test_a_record_that_cannot_be_read_is_corrupt(runtime, text):
    folder = Folder(runtime._root, "a")
    folder.claim()
    (folder.path / "record.json").write_text(text, encoding="ascii")
    with pytest.raises(Corrupt, match=r"record\.json"):
        runtime.state("a")
    with pytest.raises(Corrupt):
        runtime.delete("a")
    runtime.delete("a", force=True)
    assert runtime.list() == ()
