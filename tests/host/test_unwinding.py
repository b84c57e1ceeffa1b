"""Signals that end a process, also where a finalizer would swallow what they raise."""

import signal
import subprocess
import sys

import pytest

BEGIN = """
import os, signal, sys, time
from moby.host.unwinding import unwind_on
unwind_on((signal.SIGTERM, signal.SIGHUP))
unwind_on((signal.SIGTERM, signal.SIGHUP))
"""
UNTOLD = """
class Late:
    def __del__(self):
        signal.raise_signal({number})
        time.sleep(0)
try:
    Late()
    time.sleep(60)
finally:
    print("unwound")
"""


def run(code: str, *before: str) -> "subprocess.CompletedProcess[str]":
    words = [*before, sys.executable, "-c", BEGIN + code]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_it_ends_by_every_finally(number: int) -> None:
    done = run(f"try:\n    signal.raise_signal({int(number)})\nfinally:\n    print('unwound')")
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "unwound\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_no_finalizer_swallows_it(number: int) -> None:
    done = run(UNTOLD.format(number=int(number)))
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "unwound\n", "")


def test_nor_an_interrupt() -> None:
    done = run(UNTOLD.format(number=int(signal.SIGINT)))
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("unwound\n", "KeyboardInterrupt")


def test_where_it_waits_it_waits_the_second_time_too() -> None:
    held = "from moby.engine.interrupts import deferred\n{}\nwith deferred():\n    time.sleep(0.05)\n    print('whole')"
    late = UNTOLD.partition("try:")[0].format(number=int(signal.SIGTERM)) + "Late()"
    done = run(held.format(late))
    assert (done.returncode, done.stdout, done.stderr) == (143, "whole\n", "")


@pytest.mark.parametrize("what", ["ValueError('told')", "SystemExit('told')", "SystemExit(3)"])
def test_other_errors_are_told_as_ever(what: str) -> None:
    done = run(f"class Late:\n    def __del__(self):\n        raise {what}\nLate()\nprint('on')")
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert "Exception ignored in" in done.stderr
    assert what.partition("(")[0] in done.stderr


def test_what_is_ignored_stays_so() -> None:
    done = run("signal.raise_signal(signal.SIGHUP)\nprint('on')", "sh", "-c", 'trap "" HUP; exec "$0" "$@"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")
