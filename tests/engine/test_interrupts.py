"""Signals wait for a step that must not be left half-way, and then are not forgotten."""

import signal
import threading

import pytest

from moby.engine.interrupts import deferred


def test_signal_waits_for_the_block() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(signal.SIGINT)
        steps.append("done")
    assert steps == ["done"]


def test_second_signal_gets_through() -> None:
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")


def test_handlers_are_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with deferred():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_error_in_the_block_comes_out() -> None:
    with pytest.raises(ValueError, match="inside"), deferred():
        raise ValueError("inside")


def test_other_threads_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with deferred():
            seen.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [1]
