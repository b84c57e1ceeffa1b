"""Verbs, usage, exit codes, signals and closed pipes."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from moby import errors
from moby.cli import main, session

PYTHON = (sys.executable, "-c", "from moby.cli.main import main; main()")


def command(verb: str) -> click.Command:
    found = main.cli.get_command(click.Context(main.cli), verb)
    assert found is not None
    return found


class TestVerbs:
    def test_help_lists_them_without_importing_one(self) -> None:
        code = "import sys; from moby.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
        *shown, modules = done.stdout.splitlines()
        assert [each.split()[0] for each in shown[shown.index("Commands:") + 1 :]] == sorted(main.VERBS)
        assert not {"yaml", "networkx", "packaging", "moby.manifest", "moby.cli.check"} & set(modules.split())

    @pytest.mark.parametrize("verb", main.VERBS)
    def test_help_of_each(self, moby, verb: str) -> None:
        done = moby(verb, "--help")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"Usage: moby {verb}")
        assert command(verb).name == verb

    @pytest.mark.parametrize("verb", main.VERBS)
    def test_options_are_called_the_same_everywhere(self, verb: str) -> None:
        flags = {
            "sets": ["--set"],
            "target": ["--target"],
            "as_json": ["--json"],
            "formats": ["--format"],
            "kind": ["--kind"],
        }
        for parameter in command(verb).params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{parameter.name} has no help"
                assert parameter.name is not None
                assert parameter.opts == flags.get(parameter.name, parameter.opts)
                assert "-o" in parameter.opts or parameter.name != "out"

    @pytest.mark.parametrize(
        "verb",
        sorted(main.VERBS.keys() - {"boot", "run", "new"}),
    )
    def test_what_prints_data_prints_json_too(self, verb: str) -> None:
        assert "as_json" in [each.name for each in command(verb).params]

    def test_version(self, moby) -> None:
        assert moby("--version").out.startswith("moby, version ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["frobnicate"], "Error: no command 'frobnicate'\n", id="no-verb"),
        pytest.param(["chek", "a"], "did you mean 'check'?", id="nearly-a-verb"),
        pytest.param([], "Usage: moby [OPTIONS] COMMAND", id="nothing"),
        pytest.param(["check"], "Missing argument 'FILE'", id="no-file"),
        pytest.param(["check", "a", "b"], "unexpected extra argument (b)", id="too-many"),
        pytest.param(["check", "a", "--colour"], "No such option '--colour'", id="no-option"),
        pytest.param(["check", "a", "--set"], "'--set' requires an argument", id="no-value"),
        pytest.param(["check", "a", "--set", "b"], "'b' is not PATH=VALUE; as in --set ", id="no-path"),
        pytest.param(["check", "a", "--set", "=b"], "'=b' is not PATH=VALUE", id="empty-path"),
        pytest.param(["graph", "a", "--format", "png"], "'png' is not one of 'svg', 'html'", id="no-format"),
        pytest.param(["doctor", "a", "--target", "any"], "name host or a", id="any-host"),
        pytest.param(["run", "--detach", "a"], "No such option '--detach'", id="run"),
    ],
)
def test_wrong_usage(moby, arguments: list[str], said: str) -> None:
    done = moby(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        pytest.param(errors.Invalid("bad", hint="mend it"), 1, "bad\n  fix: mend it\n", id="invalid"),
        pytest.param(errors.NotFound("gone"), 1, "gone\n", id="not-found"),
        pytest.param(errors.HostUnfit("old kernel"), 3, "old kernel\n", id="unfit"),
        pytest.param(
            OSError(errno.ENOSPC, "No space left", "/x"),
            3,
            "the host can't: /x: No space left\n  fix: make room on that disk\n",
            id="full",
        ),
        pytest.param(
            OSError(errno.EMFILE, "Too many files"),
            3,
            "the host can't: Too many files\n  fix: raise the limit of open files, as with ulimit -n\n",
            id="descriptors",
        ),
        pytest.param(KeyboardInterrupt(), 130, "\n", id="interrupt"),
        pytest.param(click.Abort(), 130, "", id="abort"),
    ],
)
def test_exit_codes(moby, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr(session, "catalog", fail)
    done = moby("plugins")
    assert (done.code, done.out, done.err) == (code, "", said)


@pytest.mark.parametrize("raised", [ValueError("x"), OSError(errno.ENOENT, "No such file")], ids=["value", "file"])
def test_a_bug_says_where_to_report_it(moby, monkeypatch: pytest.MonkeyPatch, raised: Exception) -> None:
    def fail() -> None:
        raise raised

    monkeypatch.setattr(session, "catalog", fail)
    done = moby("plugins")
    assert done.code == 70
    assert "Traceback" in done.err
    assert "Please report it" in done.err


def test_several_problems_are_counted(moby, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise errors.Invalid("", problems=(errors.Problem("one"), errors.Problem("two")))

    monkeypatch.setattr(session, "catalog", fail)
    assert moby("plugins").err == "one\ntwo\n2 problems\n"


def test_a_call_under_nohup_goes_on_when_the_terminal_goes(moby) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    moby("--version")
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.parametrize("arguments", [["components"], ["--help"], ["components", "--help"]], ids=" ".join)
def test_a_closed_pipe_is_quiet(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*PYTHON, *arguments], stdout=write, stderr=subprocess.PIPE, timeout=120, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


SLOW = """
import sys, time
import moby.distribution.build as build
from moby.cli.main import main
def source(*_):
    print("ready", flush=True)
    time.sleep(60)
build.source = source
main(["assemble", "quickstart", "-o", sys.argv[1]])
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
def test_a_signal_in_the_middle_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    out = folder / "out"
    child = subprocess.Popen([sys.executable, "-c", SLOW, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        assert list(out.iterdir())
        child.send_signal(number)
        _, err = child.communicate(timeout=120)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 128 + number
    assert b"Traceback" not in err
    assert list(out.iterdir()) == []


class TestDocumentation:
    """docs/cli.md is true."""

    TEXT = (Path(__file__).resolve().parents[2] / "docs/cli.md").read_text()

    @pytest.mark.slow
    def test_its_python_runs(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (code,) = re.findall(r"^```python\n(.*?)^```", self.TEXT, re.MULTILINE | re.DOTALL)
        exec(compile(code.replace("/tmp/engine", str(folder / "engine")), "docs/cli.md", "exec"), {})
        assert "REPOSITORY" in capsys.readouterr().out

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_it_names_every_shell(self, shell: str) -> None:
        assert f"_MOBY_COMPLETE={shell}_source moby" in self.TEXT
