import contextlib
import os
import select
import signal
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from again import pytest_runtest_setup  # noqa: F401 - a hook
from peers.assembled import assembled

from moby.host import tree
from moby.testing.as_user import NOBODY, as_nobody

# A shell's background job ignores these, and what a test starts would inherit that.
_USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL, signal.SIGQUIT: signal.SIG_DFL}
for _number, _usual in _USUAL.items():
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


# CRIU sometimes doesn't get hold of a process within its ten seconds, also where Debian's runc asks it.
_BY_CRIU = ("test_native_images", "test_images_of_processes", "test_command_images")


# Folders whose tests keep a processor busy, or share nothing with others: `make test` runs them beside these, of which
# as many are left that both take about the same time.
_BESIDE = {
    "builder", "cli", "commands", "compose", "context", "distribution", "faults", "frontend", "fuzz", "guests",
    "images", "manifest", "metadata", "oci", "orchestrator", "packager", "plugins", "readme", "registry", "resolver",
    "rootless", "seccomp", "snapshotter",
}  # fmt: skip
# Modules that start so many programs that they take more than some seconds.
_SLOW = {
    "test_btrfs", "test_cni", "test_compression", "test_containers_bundle", "test_deb_package", "test_docker_traced",
    "test_enclosure_suite", "test_engine_image", "test_jails", "test_keeper", "test_local", "test_local_details",
    "test_local_workers", "test_native_limits", "test_native_suite", "test_native_systemd", "test_networks_shared",
    "test_overlay", "test_pyz", "test_rpm_package", "test_served_suites", "test_simulation", "test_tracer_otlp",
}  # fmt: skip
_TOLD_LINES = 25
"""Of what a test that was tried again said before."""
_HERE = Path(__file__).parent
_PROCESS = os.environ.pop("MOBY_TESTS_BESIDE", "")
"""Who runs them; what a test starts isn't to wait for it."""


def pytest_configure(config):
    """Have hypothesis try the same examples each time where fuzzing does, each for as long as a busy machine takes."""
    if config.pluginmanager.hasplugin("hypothesispytest"):  # which takes seconds to import where it isn't wanted
        from hypothesis import HealthCheck, settings

        same = bool(os.environ.get("MOBY_FUZZ_SEED"))
        # What is tried again is the method of another instance, which hypothesis takes for another test's.
        fine = [HealthCheck.too_slow, HealthCheck.differing_executors]
        settings.register_profile("untimed", deadline=None, derandomize=same, suppress_health_check=fine)
        settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Have what starts many programs be slow, and what CRIU does tried again, which the run's last lines list."""
    for item in items:
        if "fuzz" in item.keywords or item.path.relative_to(_HERE).parts[0] in _BESIDE:
            item.add_marker(pytest.mark.beside)
        if item.path.stem in _SLOW or item.path.stem.endswith("_mutants") or item.name.startswith("test_mutant"):
            item.add_marker(pytest.mark.slow)
        elif item.path.stem in _BY_CRIU or "checkpoint" in item.name:
            item.add_marker(pytest.mark.flaky(reruns=3))


def pytest_terminal_summary(terminalreporter):
    """Tell why tests were tried again, and what became of those run beside these (tools/test), once they are over."""
    again = terminalreporter.stats.get("rerun", ())
    if again:
        terminalreporter.section("why tests were tried again")
    for each in again:
        terminalreporter.write_line(f"{each.nodeid} ({each.when})")
        terminalreporter.write_line("\n".join(each.longreprtext.splitlines()[-_TOLD_LINES:]))
    if _PROCESS:
        with contextlib.suppress(ProcessLookupError):  # it may be over, and its shell may know
            over = os.pidfd_open(int(_PROCESS))
            select.select([over], [], [])
            os.close(over)
        terminalreporter.section("run beside these")
        terminalreporter.write(Path(".cache/beside.log").read_text(encoding="utf-8", errors="replace"))


_CODE = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    session.config.stash[_CODE] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Tell which threads tests have left, and end nevertheless: Python would wait for them for ever."""
    left = [each.name for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if left:
        sys.stdout.flush()
        print(f"threads that tests left: {', '.join(left)}", file=sys.stderr, flush=True)
        os._exit(config.stash.get(_CODE, 1))


@pytest.fixture(scope="session")
def docker_pyz(tmp_path_factory):
    """The distribution `docker`, as one file, assembled once for all who start it in sandboxes of their own."""
    return assembled(tmp_path_factory.mktemp("docker"), "docker")


@pytest.fixture
def unprivileged():
    """A function that calls another as an ordinary user, with a folder that is that user's."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)

    def call(function):
        if os.geteuid() == 0:
            as_nobody(lambda: function(folder))
        else:
            function(folder)

    yield call
    parent = os.open(folder.parent, tree.DIRECTORY_FLAGS)
    tree.remove(parent, folder.name)
    os.close(parent)
