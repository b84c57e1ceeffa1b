import os

import pytest
from moby_supervisor.run.arguments import NAME_ANNOTATION, bind, parse, tmpfs

from moby.contracts.types import Limits, Mount
from moby.errors import Invalid, NotFound

TMPFS = ("nosuid", "nodev", "noexec")


def parsed(*arguments):
    return parse([*arguments, "demo"], {"SET": "here"})


@pytest.mark.parametrize(
    ("arguments", "attribute", "value"),
    [
        pytest.param(["-it"], "terminal", True, id="joined flags"),
        pytest.param(["-it"], "interactive", True, id="joined flags, the other"),
        pytest.param(["-eA=b", "--env", "C=d"], "environment", ("A=b", "C=d"), id="variables"),
        pytest.param(["-e", "SET", "-e", "UNSET"], "environment", ("SET=here", "UNSET"), id="variables passed on"),
        pytest.param(["-h", "box"], "hostname", "box", id="-h is the host name"),
        pytest.param(["--hostname=box"], "hostname", "box", id="with ="),
        pytest.param(["-w", "/x"], "working_directory", "/x", id="folder"),
        pytest.param(["-u", "1:2"], "user", "1:2", id="user"),
        pytest.param(["--entrypoint", "x"], "entrypoint", ("x",), id="entrypoint"),
        pytest.param(["--entrypoint", ""], "entrypoint", (), id="no entrypoint"),
        pytest.param([], "entrypoint", None, id="image's entrypoint"),
        pytest.param(["-m", "64m"], "limits", Limits(64 << 20), id="memory"),
        pytest.param(["--memory=1.5G"], "limits", Limits(3 << 29), id="memory with a fraction"),
        pytest.param(["-m", "8388608"], "limits", Limits(8 << 20), id="memory in bytes"),
        pytest.param(["-m", "10MiB"], "limits", Limits(10 << 20), id="memory, IEC"),
        pytest.param(["--cpus", ".5"], "limits", Limits(cpus=0.5), id="processors"),
        pytest.param(["--pids-limit", "5"], "limits", Limits(pids=5), id="processes"),
        pytest.param(["--pids-limit", "-1"], "limits", Limits(), id="any number of processes"),
        pytest.param(["--cap-add", "X", "--cap-drop=Y"], "cap_add", ("X",), id="capabilities"),
        pytest.param(
            ["--tmpfs", "/x:size=1m"], "mounts", (Mount("/x", "tmpfs", "tmpfs", (*TMPFS, "size=1m")),), id="tmpfs"
        ),
        pytest.param(
            ["--mount", "type=tmpfs,target=/x,tmpfs-size=9,tmpfs-mode=700,ro"],
            "mounts",
            (Mount("/x", "tmpfs", "tmpfs", (*TMPFS, "size=9", "mode=700", "ro")),),
            id="--mount tmpfs",
        ),
        pytest.param(
            ["--mount", "type=bind,src=/,dst=/x,readonly"],
            "mounts",
            (Mount("/x", "/", "bind", ("rbind", "rprivate", "ro", "rro")),),
            id="--mount bind",
        ),
        pytest.param([], "seccomp", "builtin", id="seccomp by default"),
        pytest.param(["--security-opt", "seccomp=unconfined"], "seccomp", "unconfined", id="unconfined"),
        pytest.param(
            ["--security-opt", "seccomp=unconfined", "--security-opt", "seccomp:builtin"],
            "seccomp",
            "builtin",
            id="seccomp again",
        ),
        pytest.param([], "no_new_privileges", False, id="new privileges by default"),
        pytest.param(["--security-opt", "no-new-privileges"], "no_new_privileges", True, id="no new privileges"),
        pytest.param(["--security-opt", "no-new-privileges:true"], "no_new_privileges", True, id="with a colon"),
        pytest.param(["--security-opt", "no-new-privileges=true"], "no_new_privileges", True, id="with ="),
        pytest.param(
            ["--security-opt", "no-new-privileges", "--security-opt=no-new-privileges:false"],
            "no_new_privileges",
            False,
            id="the last one counts",
        ),
        pytest.param(["--net", "host"], "network", "host", id="network"),
        pytest.param(["--rm", "--name", "my.name"], "name", "my.name", id="name"),
        pytest.param([], "network", "none", id="no network by default"),
    ],
)
def test_options(arguments, attribute, value):
    assert getattr(parsed(*arguments), attribute) == value


@pytest.mark.parametrize(
    ("arguments", "image", "command"),
    [
        pytest.param(["demo"], "demo", (), id="image alone"),
        pytest.param(["demo", "sh", "-c", "x"], "demo", ("sh", "-c", "x"), id="command's own options"),
        pytest.param(["demo", "-i", "--rm"], "demo", ("-i", "--rm"), id="all after the image is the command's"),
        pytest.param(["--", "demo", "x"], "demo", ("x",), id="after --"),
        pytest.param(["demo", "--", "x"], "demo", ("--", "x"), id="a -- of the command"),
    ],
)
def test_command(arguments, image, command):
    found = parse(arguments)
    assert (found.image, found.command) == (image, command)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["-m", "much"], id="no size"),
        pytest.param(["-m", "1m"], id="too little memory"),
        pytest.param(["--cpus", "x"], id="no number"),
        pytest.param(["--cpus", "nan"], id="not a number"),
        pytest.param(["--cpus", "-1"], id="negative"),
        pytest.param(["--pids-limit", "x"], id="no limit"),
        pytest.param(["--host", "x"], id="abbreviated"),
        pytest.param(["-d"], id="detached"),
    ],
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        parsed(*arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param(["--name", "a b"], Invalid, "no name", id="name"),
        pytest.param(
            ["--security-opt", "apparmor=unconfined"], Invalid, "no security option 'apparmor'", id="security option"
        ),
        pytest.param(
            ["--security-opt", "seccomp=/absent.json"], NotFound, "profile /absent.json can't be read", id="no profile"
        ),
        pytest.param(["--security-opt", "seccomp"], Invalid, "seccomp has no value", id="seccomp without a value"),
        pytest.param(
            ["--security-opt", "seccomp=/etc/passwd"], Invalid, "profile /etc/passwd is no JSON", id="profile of words"
        ),
        pytest.param(
            ["--security-opt", "seccomp=/proc/sys/kernel/pid_max"],
            Invalid,
            "must be an object, not int",
            id="profile of a number",
        ),
        pytest.param(
            ["--security-opt", "no-new-privileges:maybe"], Invalid, "can't be 'maybe'", id="value of a security option"
        ),
        pytest.param(["-v", "/x"], Invalid, "no volume", id="volume without a target"),
        pytest.param(["-v", "data:/x"], Invalid, "names a volume", id="named volume"),
        pytest.param(["-v", "/:/x:odd"], Invalid, "'odd' is not an option", id="option of a bind"),
        pytest.param(["-v", "/no/such:/x"], NotFound, "no /no/such", id="nothing to bind"),
        pytest.param(["--mount", "type=bind,source=/"], Invalid, "with a target", id="mount without a target"),
        pytest.param(["--mount", "source=/,target=/x"], Invalid, "bind or tmpfs", id="mount of a volume"),
        pytest.param(["--mount", "type=bind,target=/x,colour=red"], Invalid, "'colour'", id="unknown key"),
    ],
)
def test_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        parsed(*arguments)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        pytest.param("/:/x", ("rbind", "rprivate"), id="plain"),
        pytest.param("/:/x:rw", ("rbind", "rprivate"), id="rw"),
        pytest.param("/:/x:ro", ("rbind", "rprivate", "ro", "rro"), id="ro"),
        pytest.param("/:/x:rshared,ro", ("rbind", "rshared", "ro", "rro"), id="shared"),
    ],
)
def test_bind(text, options):
    assert bind(text) == Mount("/x", "/", "bind", options)


def test_bind_of_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bind(".:/x").source == os.path.realpath(tmp_path)


def test_tmpfs_without_options():
    assert tmpfs("/x") == Mount("/x", "tmpfs", "tmpfs", TMPFS)


def test_request():
    found = parsed("--name", "mine", "--read-only").request(hostname="default")
    assert (found.hostname, found.readonly_root) == ("default", True)
    assert found.annotations == {NAME_ANNOTATION: "mine"}
    assert parsed("-h", "box").request(hostname="default").hostname == "box"
