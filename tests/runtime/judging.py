"""Judges runtimes that break a promise by the suite's own tests, and takes away what they leave."""

import contextlib
import inspect
import os
import signal
from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped

import moby.testing.boxes as boxes_module
import moby.testing.runtime as suite_module
from moby.host.cgroups import Group
from moby.testing.boxes import cgroup_folders, children, reap
from moby.testing.runtime import RuntimeSuite, boxes_of

ROOT = "runs as root"
"""What the suite says where it skips a test for want of root."""


@contextlib.contextmanager
def swept(before, monkeypatch):
    """Take away what a runtime left that breaks the promise to leave nothing."""
    engines = []

    def place_in(folder):
        place = boxes_module.place_in(folder)
        engines.append(place.engine)
        return place

    monkeypatch.setattr(suite_module, "place_in", place_in)
    descriptors = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    try:
        yield
    finally:
        left = children() - before
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        reap(left)
        for engine in engines:
            for folder in reversed(cgroup_folders(engine)):
                Group((str(folder),)).remove()
        for fd in {int(each.name) for each in Path("/proc/self/fd").iterdir()} - descriptors:
            with contextlib.suppress(OSError):
                os.close(fd)


def method_of(test, arguments):
    """Return a test of the suite, and the names that it wants; what isn't there is no failing of a runtime."""
    method = getattr(RuntimeSuite(), test)
    wanted = list(inspect.signature(method).parameters)
    lacking = set(wanted) - {"boxes", "make_runtime", "tmp_path", *arguments}
    unknown = set(arguments) - set(wanted)
    assert not lacking | unknown, f"{test} wants {lacking or 'no'} {unknown or ''}"
    return method, wanted


def judge(make, root, test, arguments, folder):
    """Run one test of the suite on a runtime."""
    method, wanted = method_of(test, arguments)
    with boxes_of(make, root) as boxes:
        offered = {"boxes": boxes, "make_runtime": make, "tmp_path": folder, **arguments}
        method(**{name: offered[name] for name in wanted})


def fails(make, root, test, arguments, folder, monkeypatch):
    """See that the suite fails a runtime."""
    method_of(test, arguments)
    monkeypatch.setattr(boxes_module, "PATIENCE_S", 0.5)
    with pytest.raises((Failed, Skipped, Exception)) as caught, swept(children(), monkeypatch):
        judge(make, root, test, arguments, folder)
    if caught.errisinstance(Skipped) and os.geteuid() and ROOT in str(caught.value):
        pytest.skip(str(caught.value))
    assert not caught.errisinstance((Skipped, AttributeError, NameError, TypeError)), caught.value
