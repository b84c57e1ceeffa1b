import signal

import pytest
from moby_supervisor.run import terminal
from moby_supervisor.run.forwarding import Forwarding

from moby.errors import Conflict

HUP, TERM, KILL, ALRM = signal.SIGHUP, signal.SIGTERM, signal.SIGKILL, signal.SIGALRM
GONE, CLOSED = "the controlling terminal goes", "the terminal among the streams hangs up"


class Recorder:
    """What Forwarding takes and gives: signals that come, alarms that it sets, kills that it asks for."""

    def __init__(self):
        self.coming, self.killed, self.alarms, self.stopped = [], [], 0, False

    def take(self):
        coming, self.coming = self.coming, []
        return tuple(coming)

    def alarm(self, seconds):
        self.alarms += 1

    def kill(self, task, number):
        if self.stopped:
            raise Conflict("it has stopped")
        self.killed.append(number)


@pytest.mark.parametrize(
    ("events", "killed"),
    [
        pytest.param([signal.SIGUSR1], [signal.SIGUSR1], id="handed on"),
        pytest.param([TERM, TERM, TERM], [TERM, TERM, KILL], id="the third kills"),
        pytest.param([TERM, signal.SIGINT, HUP, signal.SIGQUIT], [TERM, signal.SIGINT, HUP, KILL], id="of any of them"),
        pytest.param([HUP, ALRM, HUP, ALRM, ALRM], [HUP, HUP], id="by hand"),
        pytest.param([GONE, HUP, ALRM, ALRM, ALRM], [HUP, TERM, KILL], id="terminal is gone"),
        pytest.param([HUP, GONE, ALRM, ALRM], [HUP, TERM, KILL], id="terminal goes after the signal"),
        pytest.param([CLOSED, ALRM, ALRM, ALRM], [HUP, TERM, KILL], id="stream closed"),
        pytest.param([CLOSED, HUP, ALRM, ALRM], [HUP, TERM, KILL], id="stream closed, then the signal"),
        pytest.param([GONE, HUP, CLOSED, ALRM, ALRM], [HUP, TERM, KILL], id="signal, then stream closed"),
        pytest.param([ALRM], [], id="alarm that nobody set"),
    ],
)
def test_what_is_asked_of_the_container(monkeypatch, events, killed):
    there = [True]
    monkeypatch.setattr(terminal, "controlled", lambda: there[0])
    recorder = Recorder()
    forwarding = Forwarding(recorder, "a", recorder, with_terminal=False, grace_s=1)
    for event in events:
        if event == GONE:
            there[0] = False
        elif event == CLOSED:
            forwarding.hang_up()
        else:
            recorder.coming.append(event)
            forwarding.take()
    assert recorder.killed == killed


def test_never_a_terminal(monkeypatch):
    """Without one from the start, as under a service manager, a SIGHUP is only handed on."""
    monkeypatch.setattr(terminal, "controlled", lambda: False)
    recorder = Recorder()
    recorder.coming = [HUP, ALRM, ALRM]
    Forwarding(recorder, "a", recorder, with_terminal=False, grace_s=1).take()
    assert recorder.killed == [HUP]


def test_stopped_container_is_no_error():
    recorder = Recorder()
    recorder.stopped, recorder.coming = True, [TERM]
    forwarding = Forwarding(recorder, "a", recorder, with_terminal=False, grace_s=1)
    forwarding.take()
    forwarding.hang_up()
    assert recorder.killed == []
