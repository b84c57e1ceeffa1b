"""A signal waits for a step of `run` that must not be left half-way, and then ends it all the same."""

import signal

import pytest
from moby_supervisor.run.signals import Interrupted, Signals


def test_a_signal_waits() -> None:
    steps = []
    with Signals() as signals:
        with pytest.raises(Interrupted) as raised, signals.deferred():
            signal.raise_signal(signal.SIGTERM)
            steps.append("done")
        assert raised.value.number == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)  # what cleans up is not interrupted again
    assert steps == ["done"]


def test_without_one_nothing_happens() -> None:
    with Signals() as signals:
        with signals.deferred():
            pass
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)


def test_an_error_of_the_block_comes_first() -> None:
    with Signals() as signals, pytest.raises(ValueError, match="x"), signals.deferred():
        signal.raise_signal(signal.SIGHUP)
        raise ValueError("x")
