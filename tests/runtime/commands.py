"""runc and crun as tests run them: unpacked, and where the host has no control groups that they refuse."""

import contextlib
import os
import shlex
from pathlib import Path

from guests.cover import GUEST
from moby_runtime.crun import CRUN
from moby_runtime.oci_command.runtime import OciCommand
from moby_runtime.runc import RUNC
from peers import binaries

from moby.contracts.runtime import RuntimeFeature
from moby.errors import Unsupported
from moby.host import mounts
from moby.host.cgroups import hierarchies, version
from moby.testing.mounted import own_mounts

TOOLS = {tool.name: tool for tool in (RUNC, CRUN)}


def binary(name, folder):
    """Write what runs an unpacked command with the libraries that it needs; the folder must be one to execute from."""
    found = binaries.need(name, name)
    libraries = binaries.environment()["LD_LIBRARY_PATH"]
    path = Path(folder, name)
    more = f"LD_LIBRARY_PATH={shlex.quote(libraries)} " if found.is_relative_to(binaries.ROOT) and libraries else ""
    path.write_text(f'#!/bin/sh\n{more}exec {shlex.quote(str(found))} "$@"\n')
    path.chmod(0o755)
    return str(path)


def maker(name, folder, monkeypatch):
    """Return what makes runtimes that drive a command, which finds CRIU on PATH for as long as the test lasts."""
    path, tool = binary(name, folder), TOOLS[name]
    return with_criu(lambda place: OciCommand(place, tool, path), folder, monkeypatch)


def with_criu(make, folder, monkeypatch, *, in_guests=False):
    """Return what makes runtimes that find CRIU on PATH for as long as the test lasts, or don't offer what needs it.

    Most tests in guests don't: for a restore an emulated processor takes minutes.
    """
    if binaries.find("criu") is not None and (in_guests or not GUEST):
        binary("criu", folder)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return make

    def refuse(*arguments, **more):
        raise Unsupported("this host has no CRIU")

    def without(place):
        made = make(place)
        made.features -= {RuntimeFeature.CHECKPOINT}
        made.checkpoint = made.restore = refuse
        return made

    return without


@contextlib.contextmanager
def without_hybrid():
    """Live in a mount namespace that shows control groups of one version."""
    if version(hierarchies()) != "hybrid":
        yield
        return
    with own_mounts():
        for tree in hierarchies():
            if tree.version == 2:
                mounts.unmount(str(tree.mount), detach=True)
        yield
