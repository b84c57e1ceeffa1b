"""A distribution's own command line, run in this process on a plan of toy parts."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from attrs import evolve

from moby.component import HostNeed
from moby.contracts.command import EXITS_AS_CONTAINER
from moby.engine import entry
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby.plan import Plan

Plans = Callable[..., Plan]


def _with_code(error: MobyError, code: int) -> MobyError:
    error.exit_code = code
    return error


@pytest.fixture
def run(plan: Plans, tmp_path: Path) -> Callable[..., int]:
    def call(*arguments: str, **config: object) -> int:
        return entry.run(["--root", str(tmp_path), *arguments], {"framework": "1.2"}, plan(**config))

    return call


Run = Callable[..., int]


def test_command_gets_its_arguments_and_returns_its_code(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("say", "--flag", "hello") == 7
    assert capsys.readouterr().out == "top --flag hello\n"


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    assert capsys.readouterr().out.startswith("toy (moby 1.2, Python 3.")
    assert run("version", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "toy"
    assert run("--version") == 0


def test_components(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("components") == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("engine-part/a\t1\t")
    assert run("components", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["components"]
    assert rows[2]["needs"] == {"parts": ["engine-part/b", "engine-part/a"], "first": ["engine-part/a"], "maybe": []}


def test_doctor_checks_what_is_inside(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    assert run("doctor", b_host=(HostNeed("binary", "no-such-binary", package="nowhere"),)) == 3
    assert "no-such-binary" in capsys.readouterr().out
    assert run("doctor", "--json", b_host=(HostNeed("binary", "sh"),)) == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["ok"] is True


@pytest.mark.parametrize(
    ("policy", "code", "met"),
    [("required", 3, "UNMET"), ("optional", 0, "unmet, so left out"), ("skip-if-unfit", 0, "unmet, so left out")],
)
def test_a_part_that_may_be_missing_is_no_fault_of_the_host(
    run: Run, capsys: pytest.CaptureFixture[str], policy: str, code: int, met: str
) -> None:
    assert run("doctor", b_host=(HostNeed("binary", "no-such-binary"),), b_policy=policy) == code
    assert capsys.readouterr().out.split("\t")[:3] == ["engine-part/b", "binary no-such-binary", met]


def test_what_a_part_does_without_is_no_fault_of_the_host(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", b_host=(HostNeed("binary", "no-such-binary", why="slow without", optional=True),)) == 0
    shown = capsys.readouterr().out.split("\t")
    assert (shown[2], shown[3].endswith("; slow without")) == ("unmet, goes without", True)


def test_what_takes_root_is_told_to_an_ordinary_user(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run("doctor", b_host=(HostNeed("privilege", "root", why="no networks", optional=True),)) == 0
    shown = capsys.readouterr().out.split("\t")
    assert shown[:4] == [
        "engine-part/b",
        "privilege root",
        "unmet, goes without",
        "runs as an ordinary user; no networks",
    ]
    assert "an enclosure, as the assembly `rootless` has one" in shown[4]


def test_doctor_says_what_is_met_as_the_framework_does(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("doctor", b_host=(HostNeed("binary", "sh"),))
    assert capsys.readouterr().out.startswith("engine-part/b\tbinary sh\tok\t")


def test_serve_without_a_front_end_is_wrong_usage(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve") == 2
    assert "no front end" in capsys.readouterr().err


def test_down_reclaims_in_reverse_and_leaves_state(run: Run, toys: ModuleType, tmp_path: Path) -> None:
    run("say")
    toys.EVENTS.clear()
    assert run("down") == 0
    down = ["wind down within None", "reclaim"]
    assert [each for each in toys.EVENTS if each.startswith(("wind", "reclaim"))] == [
        f"{each} {name}" for each in down for name in ("top", "b", "a")
    ]
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "state").exists()
    assert run("down", "--purge") == 0
    assert not (tmp_path / "state").exists()


def test_down_goes_on_past_what_does_not_end(run: Run, toys: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """And within the time that it is told."""
    step = "wind down within 2.5"
    assert run("down", "--timeout", "2.5", "--purge", b={"fail": step}) == 0
    assert [each for each in toys.EVENTS if each.startswith(("wind", "reclaim"))] == [
        f"{each} {name}" for each in (step, "reclaim") for name in ("top", "b", "a")
    ]
    assert f'error engine-part/b: wind_down failed error="told to fail at {step}"' in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--timeout", "-1"], ["--timeout", "inf"], ["--timeout"], ["--prune"]])
def test_what_down_does_not_take(run: Run, toys: ModuleType, tmp_path: Path, wrong: list[str]) -> None:
    assert run("down", *wrong) == 2
    assert (toys.EVENTS, [*tmp_path.iterdir()]) == ([], [])


def test_a_command_has_no_part_go_on(run: Run, plan: Plans, toys: ModuleType, tmp_path: Path) -> None:
    """With what earlier engines were at; an engine that lasts has, before others start that may need it."""
    from moby.engine import start

    run("say")
    run("down")
    assert not any("go on" in each for each in toys.EVENTS)
    toys.EVENTS.clear()
    with start(plan(), tmp_path):
        assert [f"{each} {name}" for name in ("a", "b", "top") for each in ("make", "start", "go on")] == toys.EVENTS


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_down_keeps_what_is_mounted_below(tmp_path: Path) -> None:
    """A bind mount left below the run folder is told, and what it shows is not removed."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    code = (
        "import subprocess, sys; from pathlib import Path;"
        "from moby.engine import root; from moby.surroundings import Roots;"
        "roots = Roots.under(Path(sys.argv[1]), 'toy'); target = roots.run / 'mnt'; target.mkdir(parents=True);"
        "subprocess.run(['mount', '--bind', sys.argv[2], target], check=True); root.purge(roots)"
    )
    command = ["unshare", "--mount", sys.executable, "-c", code, str(tmp_path / "root"), str(kept)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "moby.errors.Conflict" in done.stderr
    assert (kept / "file").read_text() == "x"


def test_down_refuses_an_engine_in_use(run: Run, plan: Plans, tmp_path: Path) -> None:
    from moby.engine import start

    with start(plan(), tmp_path), pytest.raises(Conflict):
        run("down")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["sya"], "did you mean 'say'?", id="unknown"),
        pytest.param([], "commands:", id="nothing"),
        pytest.param(["--unknown"], "unrecognized", id="flag"),
        pytest.param(["--log-level", "loud", "say"], "invalid choice", id="level"),
    ],
)
def test_wrong_usage(run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_wrong_flag_of_a_verb(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        run("version", "--what")
    assert raised.value.code == 2
    assert "usage: toy version [--json]" in capsys.readouterr().err


def test_help_lists_commands_and_verbs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert "say         Print the part's name." in out
    assert "doctor" in out
    for flag in ("--root DIR", "--config FILE", "--log-level LEVEL", "--log-format FORMAT"):
        assert f"\n  {flag}  " in out


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("version", "usage: toy version [--json]\n\nPrint what this distribution is.\n"),
        ("down", "remove all state too"),
        ("serve", "where a front end listens, the default one"),
        ("serve", "how long requests that are under way may go on"),
        ("install", "unix:///PATH of the socket that systemd opens"),
    ],
)
def test_each_verb_helps(plan: Plans, capsys: pytest.CaptureFixture[str], verb: str, told: str) -> None:
    fronted = evolve(plan(), instances=tuple(evolve(each, kind="frontend") for each in plan().instances[:1]))
    with pytest.raises(SystemExit) as raised:
        entry.run([verb, "--help"], {}, fronted)
    assert not raised.value.code
    done = capsys.readouterr()
    assert (" ".join(told.split()) in " ".join(done.out.split()), done.err) == (True, ""), done


def test_open_option_from_file_and_environment(
    run: Run, tmp_path: Path, toys: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "engine.toml"
    file.write_text("[engine-part.top]\ncount = 5\n")
    assert run("--config", str(file), "say") == 7
    monkeypatch.setenv("MOBY_ENGINE_PART_TOP_COUNT", "six")
    with pytest.raises(Invalid, match="MOBY_ENGINE_PART_TOP_COUNT: 'six' is no integer"):
        run("say")
    monkeypatch.setenv("MOBY_ENGINE_PART_TOP_COUNT", "6")
    assert run("say") == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "[engine-part.top]\nname = 'x'\n", "engine-part.top.name is not open; open are: count", id="closed"
        ),
        pytest.param("[engine-part.tip]\ncount = 1\n", "no part [engine-part.tip]", id="part"),
        pytest.param("count = 1\n", "no part [count.]", id="top"),
        pytest.param("[engine-part", "can't be read as TOML", id="syntax"),
    ],
)
def test_bad_configuration(run: Run, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "engine.toml"
    file.write_text(text)
    with pytest.raises(Invalid) as raised:
        run("--config", str(file), "say")
    assert message in str(raised.value)
    assert ("assemble it with `name: {open: DEFAULT}`" in str(raised.value)) == ("is not open" in message)


def test_missing_configuration(run: Run, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no configuration file"):
        run("--config", str(tmp_path / "none.toml"), "say")


def test_main_outside_a_distribution_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from moby.engine.entry import main; sys.exit(main(['version']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "this is not a distribution" in done.stderr


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        pytest.param({"b": {"fail": "start"}}, 3, "told to fail at start", id="one"),
        pytest.param({"b": {"fail": "stop"}, "a": {"fail": "stop"}}, 3, "told to fail at stop", id="several"),
    ],
)
def test_main_prints_errors_and_returns_their_code(
    plan: Plans, tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, object], code: int, message: str
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        assert entry.main(["--root", str(tmp_path), "say"], lambda: ({}, plan(**config))) == code
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(number, handler)
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_an_error_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """As that of a service which says what it will."""
    assert entry._failed(Invalid("evil says \x1b]0;me\x07\x9b2J\r\nand\tmore é")) == 1
    assert capsys.readouterr().err == "evil says \\x1b]0;me\\x07\\x9b2J\\x0d\nand\tmore é\n"


@pytest.fixture
def main(plan: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `main` on a plan in which the exit code of `say` is a container's."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)

    def call(*arguments: str, **config: object) -> int:
        made = plan(**config)
        *others, say = made.instances
        say = evolve(say, facts=evolve(say.facts, provides=(EXITS_AS_CONTAINER,)))
        inside = evolve(made, instances=(*others, say))
        return entry.main(["--root", str(tmp_path), *arguments], lambda: ({"framework": "1"}, inside))

    return call


@pytest.mark.parametrize(
    ("arguments", "config", "message"),
    [
        pytest.param(["say"], {"b": {"fail": "start"}}, "told to fail at start", id="start"),
        pytest.param(["say"], {"b": {"fail": "stop"}, "a": {"fail": "stop"}}, "told to fail at stop", id="stops"),
        pytest.param(["--config", "/no/such", "say"], {}, "no configuration file", id="settings"),
        pytest.param(["--root", "/dev/null/x", "say"], {}, "/dev/null", id="folders"),
    ],
)
def test_errors_of_the_engine_are_no_containers_code(
    main: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    config: dict[str, object],
    message: str,
) -> None:
    assert main(*arguments, **config) == 125
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(Invalid("no"), 125, id="below"),
        pytest.param(_with_code(NotFound("no program"), 127), 127, id="about the program"),
        pytest.param(ZeroDivisionError("a bug"), 125, id="bug"),
    ],
)
def test_errors_of_a_verb_that_exits_as_a_container(
    main: Callable[..., int], toys: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(toys.Echo, "run", fail)
    assert main("say") == code


def test_other_verbs_keep_their_codes(main: Callable[..., int]) -> None:
    assert main("say") == 7
    assert main("version") == 0
    assert main("doctor", b_host=(HostNeed("binary", "no-such-binary"),)) == 3
    assert main("unknown") == 2


def test_main_reports_a_bug_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> tuple[dict[str, object], Plan]:
        raise ZeroDivisionError("a bug")

    assert entry.main(["version"], broken) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: a bug" in err
    assert "This is a bug. Please report it" in err


SERVING = """
import sys
from pathlib import Path
sys.path.insert(0, {parts!r})
import toy_parts
from attrs import evolve
from moby.component import facts_of
from moby.engine import entry
from moby.plan import Instance, Plan
base = toy_parts.moby_components()[0]
facts = evolve(facts_of(base, distribution="toys 1", module="toy_parts"), kind="engine-part")
class Seen(list):
    def append(self, event):
        print(event, flush=True)
toy_parts.EVENTS = Seen()
plan = Plan("toy", (Instance("frontend", "f", facts, {{"name": "f"}}),))
sys.exit(entry.main(["--root", {root!r}, "serve"], lambda: ({{}}, plan)))
"""

BEGUN = ["make f\n", "check f\n", "make f\n", "start f\n", "go on f\n", "listen f\n"]


def test_closed_standard_streams_are_not_taken_by_the_lock(tmp_path: Path) -> None:
    """With 0 and 1 closed at the start, whatever a part opens gets another number."""
    code = SERVING.format(parts=str(Path(__file__).parent / "parts"), root=str(tmp_path))
    code = code.replace('"serve"]', '"down"]').replace("print(event, flush=True)", "pass")
    shown = "; import os; sys.stderr.write(' '.join(os.readlink(f'/proc/self/fd/{n}') for n in (0, 1)))"
    code = code.replace("sys.exit(entry.main(", "code = (entry.main(").rstrip() + shown
    command = ["sh", "-c", 'exec "$0" "$@" <&- >&-', sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "/dev/null /dev/null"


def test_ignored_hangup_stays_ignored(tmp_path: Path) -> None:
    code = SERVING.format(parts=str(Path(__file__).parent / "parts"), root=str(tmp_path))
    code = code.replace("import sys", "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)", 1)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in BEGUN] == BEGUN
        os.kill(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGTERM)
        assert process.stdout.read() == "drain f\nstop f\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_in_order_on_a_signal(tmp_path: Path, number: int) -> None:
    code = SERVING.format(parts=str(Path(__file__).parent / "parts"), root=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in BEGUN] == BEGUN
        os.kill(process.pid, number)
        assert process.stdout.read() == "drain f\nstop f\n"
    assert process.returncode == 0


def test_an_address_that_is_refused_starts_nothing(tmp_path: Path) -> None:
    code = SERVING.format(parts=str(Path(__file__).parent / "parts"), root=str(tmp_path))
    code = code.replace('{"name": "f"}', '{"name": "f", "fail": "check"}')
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stdout == "make f\ncheck f\n"
    assert "told to fail at check" in done.stderr


def test_a_full_disk_is_named(
    plan: Plans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def room(folder: str) -> object:
        return SimpleNamespace(f_bavail=0 if folder == str(tmp_path / "run") else 1 << 40, f_frsize=1, f_files=0)

    monkeypatch.setattr(entry, "_do", write)
    monkeypatch.setattr(os, "statvfs", room)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # which stay this process's own
    assert entry.main(["--root", str(tmp_path), "say"], lambda: ({"framework": "1.2"}, plan())) == 3
    assert capsys.readouterr().err == (
        f"the host can't: {tmp_path}/run: No space left on device\n  fix: make room on that disk\n"
    )
