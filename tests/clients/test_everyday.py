"""The unmodified docker command on our engine: the same output, errors and exit codes as dockerd gives.

What Debian's dockerd gives is written down in `answers`, so that it need not be asked each time; `long` tests ask it.
To write it down anew: `python -m clients.recording` from the folder `tests`.
"""

import pytest
from clients.asking import ask, recorded
from clients.everyday import SCENARIOS
from peers.box import NAME


def compared(lines, ours, theirs):
    """Fail with each line that differs."""
    differ = [
        f"{line}\n  found    {our}\n  expected {their}"
        for line, our, their in zip(lines, ours, theirs, strict=True)
        if our != their
    ]
    assert not differ, "\n".join([f"{len(differ)} of {len(lines)} lines differ:", *differ])


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_answers_are_dockerds(moby, scenario):
    lines = SCENARIOS[scenario]
    compared(lines, ask(moby.sandbox, lines, NAME), recorded(scenario))


@pytest.mark.long
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_written_down_is_what_dockerd_says(docker, scenario):
    lines = SCENARIOS[scenario]
    compared(lines, ask(docker.sandbox, lines, NAME), recorded(scenario))
