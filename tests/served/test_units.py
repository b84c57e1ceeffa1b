"""What `install` writes, judged by systemd itself where it is there."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from moby import api
from moby.engine import entry, units
from moby.placement import placed
from moby.plan import Instance, Plan

Run = Callable[..., tuple[int, list[Path]]]


@pytest.fixture
def toy(instance: Callable[..., Instance]) -> Plan:
    return placed(Plan("toy", (instance("threads"), instance("front", needs="served-shelf/threads"))))


@pytest.fixture(scope="module")
def docker() -> Plan:
    """An engine that docker's clients drive."""
    return api.resolve(api.load("docker"))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, toy: Plan) -> Run:
    monkeypatch.setattr("sys.argv", ["/opt/my engines/toy.pyz"])
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def call(*words: str, flags: tuple[str, ...] = ()) -> tuple[int, list[Path]]:
        code = entry.main([*flags, *words, "--destdir", str(tmp_path)], lambda: ({}, toy))
        return code, [Path(line) for line in capsys.readouterr().out.splitlines()]

    return call


def test_what_is_written_is_what_is_taken_back(run: Run, tmp_path: Path) -> None:
    code, paths = run("install")
    folder = tmp_path / "etc/systemd/system"
    assert (code, paths) == (0, [folder / "moby-toy.service", folder / "moby-toy.socket"])
    service, socket = (path.read_text() for path in paths)
    for line in (
        "Type=notify",
        "Delegate=yes",
        "KillMode=process",
        "OOMScoreAdjust=-500",
        "WantedBy=multi-user.target",
    ):
        assert line in service.splitlines()
    assert "ExecReload" not in service, "nothing is read anew"
    assert "ListenStream=/run/moby/toy.sock" in socket.splitlines()
    assert "SocketMode=0660" in socket.splitlines()
    assert run("uninstall") == (0, paths)
    assert not any(folder.iterdir())
    assert run("uninstall") == (0, []), "twice is fine"


def test_flags_go_into_the_command(run: Run, tmp_path: Path) -> None:
    hosts = ("--host", "unix:///run/100%.sock", "--host", "front=unix:///further")
    _, (service, socket) = run("install", *hosts, flags=("--root", "/srv/a b", "--log-format", "json"))
    start = next(line for line in service.read_text().splitlines() if line.startswith("ExecStart="))
    assert '"/opt/my engines/toy.pyz" --root "/srv/a b" --log-level warning --log-format json serve' in start
    assert start.endswith("--host fd:// --host front=unix:///further")
    assert "ListenStream=/run/100%%.sock" in socket.read_text().splitlines()


def test_for_a_user(run: Run, tmp_path: Path) -> None:
    _, (service, socket) = run("install", "--user")
    assert service == tmp_path / "home/me/.config/systemd/user/moby-toy.service"
    assert "OOMScoreAdjust" not in service.read_text()
    assert "WantedBy=default.target" in service.read_text().splitlines()
    assert "ListenStream=%t/moby/toy.sock" in socket.read_text().splitlines()


def test_what_is_refused(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install", "-H", "unix:///a", "-H", "unix:///b")[0] == 1
    with pytest.raises(SystemExit, match="2"):
        run("install", "--usr")
    (tmp_path / "etc").write_text("")
    assert run("install")[0] == 3


@pytest.mark.parametrize("here", [False, True], ids=["destdir", "here"])
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("bogus", "frontend/docker: can't listen at 'bogus'"),
        ("tcp://127.0.0.1:2375", "frontend/docker: tcp://127.0.0.1:2375 without TLS"),
        ("fd://", "--host fd://: fd://3 is given twice"),
        ("fd://other", "systemd has passed no such socket"),
        ("unix://rel", "'unix://rel' names no absolute path"),
        ("unix:///a\nExecStart=b", "names no absolute path"),
        ("unix:///a/", "names no absolute path of a file"),
        (f"unix:///{'a' * 107}", "longer than a Unix socket's path may be, 107 bytes"),
        ("metrics=unix:///a", "no front end 'metrics'; there are docker"),
    ],
)
def test_addresses_that_serve_would_refuse(
    docker: Plan, booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    address: str, message: str, here: bool,
) -> None:  # fmt: skip
    booted.mkdir()
    words = ("install", "--user", "-H", address, *([] if here else ["--destdir", str(tmp_path)]))
    assert entry.main([*words], lambda: ({}, docker)) == 1
    done = capsys.readouterr()
    assert (done.out, message in done.err) == ("", True), done.err
    assert [each.name for each in tmp_path.rglob("*.s*")] == ["systemctl"] or not list(tmp_path.rglob("moby-*"))


def test_an_address_that_this_engine_has_already(docker: Plan, booted: Path, tmp_path: Path) -> None:
    """As when it is installed anew, while it runs."""
    booted.mkdir()
    (tmp_path / "systemctl").write_text("#!/bin/sh\n")
    path = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        assert entry.main(["install", "--user", "-H", f"docker=unix://{path}"], lambda: ({}, docker)) == 0


def test_where_the_socket_may_be(run: Run) -> None:
    for path, shown in {"/run/a b.sock": "/run/a b.sock", "%t/100%.sock": "%t/100%%.sock"}.items():
        _, (_, written) = run("install", "-H", f"unix://{path}")
        assert f"ListenStream={shown}" in written.read_text().splitlines()


def test_without_a_front_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["install", "--destdir", str(tmp_path)], lambda: ({}, Plan("toy"))) == 2
    assert "toy has no front end" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_socket_that_does_not_start(
    call: Callable[..., int], booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    booted.mkdir()
    (tmp_path / "systemctl").write_text('#!/bin/sh\nfor each; do [ "$each" != start ] || exit 1; done\n')
    assert call("install", "--user") == 3
    assert "fix: see `systemctl --user status moby-toy.socket`" in capsys.readouterr().err


def test_units_that_failed_are_forgotten(call: Callable[..., int], booted: Path, tmp_path: Path) -> None:
    """Else systemd lists them as not found, and failed."""
    booted.mkdir()
    asked = tmp_path / "asked"
    (tmp_path / "systemctl").write_text(f'#!/bin/sh\necho "$*" >> {asked}\n[ "$2" != reset-failed ]\n')
    assert call("install", "--user") == 0
    asked.unlink()
    assert call("uninstall", "--user") == 0, "those that didn't fail have nothing to be forgotten"
    names = "moby-toy.service moby-toy.socket"
    assert asked.read_text().splitlines() == [
        f"--user disable --now {names}", "--user daemon-reload", f"--user reset-failed {names}",
    ]  # fmt: skip


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that says that systemd runs; it isn't there yet, and systemctl fails."""
    folder = tmp_path / "booted"
    monkeypatch.setattr(units, "BOOTED", folder)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho no bus >&2\nexit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    return folder


@pytest.fixture
def call(toy: Plan) -> Callable[..., int]:
    return lambda *words: entry.main([*words], lambda: ({}, toy))


def test_no_systemctl(
    call: Callable[..., int], booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    booted.mkdir()
    (tmp_path / "systemctl").unlink()
    assert call("install", "--user") == 3
    assert "systemctl isn't there" in capsys.readouterr().err
    assert not list(tmp_path.glob("config/systemd/user/*"))


def test_no_systemd_runs(
    call: Callable[..., int], booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("install", "--user") == 3
    assert "systemd doesn't run here\n  fix: use `serve`" in capsys.readouterr().err
    assert not (tmp_path / "config").exists()
    folder = tmp_path / "config/systemd/user"
    folder.mkdir(parents=True)
    (folder / "moby-toy.service").write_text("left")
    assert call("uninstall", "--user") == 0
    assert not any(folder.iterdir())


def test_a_systemd_that_cannot_be_asked(
    call: Callable[..., int], booted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Units are as they were: none, or those of an earlier version."""
    booted.mkdir()
    folder = tmp_path / "config/systemd/user"
    assert call("install", "--user") == 3
    done = capsys.readouterr()
    assert (done.out, "systemctl --user daemon-reload failed: no bus" in done.err) == ("", True)
    assert not any(folder.iterdir())
    (folder / "moby-toy.service").write_text("older")
    assert call("install", "--user") == 3
    assert {each.name: each.read_text() for each in folder.iterdir()} == {"moby-toy.service": "older"}
    assert call("uninstall", "--user") == 3
    assert "systemctl --user disable --now moby-toy.service moby-toy.socket failed: no bus" in capsys.readouterr().err
    assert (folder / "moby-toy.service").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't there")
@pytest.mark.parametrize("user", [False, True])
def test_systemd_reads_them(user: bool, tmp_path: Path) -> None:
    made = units.Units(tmp_path, "moby-toy", user, "/run/moby/toy.sock", (), ("/bin/true", "a b", "50%", "$x"), "")
    for path, text in zip(made.paths(), units.render(made), strict=True):
        path.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *(["--user"] if user else []), *map(str, made.paths())]
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "notice"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    complaints = [line for line in done.stderr.splitlines() if "moby-toy" in line]
    assert not complaints, done.stderr
