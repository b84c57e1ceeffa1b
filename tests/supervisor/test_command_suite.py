import pytest
from ambient import ListLog, RealClock
from engine import OneImage, place
from moby_supervisor.foreground.tasks import Foreground
from moby_supervisor.run.command import Run

from moby.testing.command import CommandSuite


class TestRunCommand(CommandSuite):
    usage_code = 125

    @pytest.fixture
    def command(self, forking, tmp_path):
        with Foreground({"forking": forking}, tmp_path / "run", RealClock(), ListLog()) as supervisor:
            yield Run(OneImage(tmp_path), supervisor, place(tmp_path, "command"), ListLog())


class Mutant:
    def __init__(self, right):
        self.right = right


class HelpFails(Mutant):
    def run(self, arguments):
        return self.right.run(arguments) or 1


class HelpIsAnError(Mutant):
    def run(self, arguments):
        import contextlib
        import sys

        with contextlib.redirect_stdout(sys.stderr):
            return self.right.run(arguments)


class ForgivesUsage(Mutant):
    def run(self, arguments):
        self.right.run(arguments)
        return 0


class SaysNothing(Mutant):
    def run(self, arguments):
        return 0 if "--help" in arguments else 125


class Exits(Mutant):
    def run(self, arguments):
        raise SystemExit(self.right.run(arguments))


class EatsArguments(Mutant):
    def run(self, arguments):
        code = self.right.run(arguments)
        arguments.clear()
        return code


class TestMutants(TestRunCommand):
    """The suite, each test of it on a mutant that it must fail."""

    test_help = test_wrong_usage = test_arguments_are_left_alone = None

    @pytest.mark.parametrize(
        ("mutant", "test"),
        [
            pytest.param(HelpFails, "test_help", id="help fails"),
            pytest.param(HelpIsAnError, "test_help", id="help on standard error"),
            pytest.param(ForgivesUsage, "test_wrong_usage", id="wrong usage is fine"),
            pytest.param(SaysNothing, "test_wrong_usage", id="no usage line"),
            pytest.param(Exits, "test_arguments_are_left_alone", id="exits"),
            pytest.param(EatsArguments, "test_arguments_are_left_alone", id="eats its arguments"),
        ],
    )
    def test_fails(self, command, capfd, mutant, test):
        extra = {} if test == "test_arguments_are_left_alone" else {"capfd": capfd}
        suite = TestRunCommand()
        getattr(suite, test)(command=command, **extra)
        with pytest.raises((AssertionError, SystemExit)):
            getattr(suite, test)(command=mutant(command), **extra)
