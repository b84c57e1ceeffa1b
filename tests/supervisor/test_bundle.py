"""The verb `bundle`: a folder with a config.json, of which nothing is changed, as a container in the foreground."""

import json
import subprocess

import pytest

from moby.oci.spec import rootless

pytestmark = pytest.mark.slow

USER = {"uid": 0, "gid": 0, "umask": 0o22}


def bundle(engine, *arguments, **more):
    """Write a bundle beside the engine, and return its folder; its root file system is named by a relative path."""
    process = {"args": list(arguments), "cwd": "/", "env": ["PATH=/usr/bin:/bin", "A=b"], "user": USER}
    spec = {
        "ociVersion": "1.2.0", "process": process, "root": {"path": "image/rootfs"},
        "linux": {"namespaces": [{"type": each} for each in ("pid", "ipc", "uts", "mount", "network")]},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]}],
    }  # fmt: skip
    spec |= more
    if engine.user:
        spec = rootless(spec, uid=engine.user, gid=engine.user)
    (engine.folder / "config.json").write_text(json.dumps(spec))
    return engine.folder


def ran(engine, *arguments):
    command = [*engine.argv, "bundle", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, input="given\n")


def test_its_container_runs(isolating):
    folder = bundle(isolating, "sh", "-c", "echo $A; hostname; echo err >&2; exit 3", hostname="box")
    before = (folder / "config.json").read_bytes()
    done = ran(isolating, "--name", "one", str(folder))
    assert (done.stdout, done.stderr, done.returncode) == ("b\nbox\n", "err\n", 3)
    assert (folder / "config.json").read_bytes() == before
    assert isolating.left() == []


@pytest.mark.parametrize(("flags", "said"), [([], "end\n"), (["-i"], "given\n")])
def test_standard_input_is_passed_on_where_it_is_asked_for(isolating, flags, said):
    folder = bundle(isolating, "sh", "-c", "read x && echo $x || echo end")
    assert ran(isolating, *flags, str(folder)).stdout == said


def test_a_program_that_is_not_there(isolating):
    done = ran(isolating, str(bundle(isolating, "/no/such")))
    assert (done.returncode, done.stdout) == (127, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "there is no ", id="none"),
        pytest.param("{", "is no JSON", id="no JSON"),
        pytest.param("[]", "must have process and root.path", id="no object"),
        pytest.param('{"process": {}, "root": {"path": 1}}', "must have process and root.path", id="no path"),
    ],
)
def test_what_is_no_bundle(plain, text, message):
    if text is not None:
        (plain.folder / "config.json").write_text(text)
    done = ran(plain, str(plain.folder))
    assert (done.returncode, done.stdout) == (125, "")
    assert message in done.stderr


def test_no_terminal_here(plain):
    process = {"terminal": True, "args": ["true"], "cwd": "/", "user": USER}
    done = ran(plain, "-i", str(bundle(plain, process=process)))
    assert (done.returncode, "not a TTY" in done.stderr) == (125, True)
