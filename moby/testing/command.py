"""The conformance suite of the kind `command`."""

import pytest

from moby.contracts.command import Command

__all__ = ["CommandSuite"]


class CommandSuite:
    """What every verb must do. A subclass brings the fixture, and 125 where its exit codes are a container's."""

    usage_code = 2

    @pytest.fixture
    def command(self) -> Command:
        """Return the verb under test."""
        raise NotImplementedError

    def test_help(self, command: Command, capfd: pytest.CaptureFixture[str]) -> None:
        """`--help` is data, and no failure."""
        assert command.run(["--help"]) == 0
        text = capfd.readouterr()
        assert text.out.startswith("usage: ")
        assert text.err == ""

    def test_wrong_usage(self, command: Command, capfd: pytest.CaptureFixture[str]) -> None:
        """An unknown option ends with a usage line on standard error."""
        assert command.run(["--no-such-option"]) == self.usage_code
        text = capfd.readouterr()
        assert text.out == ""
        assert text.err.startswith("usage: ")

    def test_arguments_are_left_alone(self, command: Command) -> None:
        """What was passed in is the caller's."""
        arguments = ["--help"]
        command.run(arguments)
        assert arguments == ["--help"]
