"""The unmodified docker command in swarm mode on our engine: the same output, errors and exit codes as dockerd gives.

What Debian's dockerd gives is written down in `swarm_answers`; `long` tests ask it. To write it down anew:
`python -m clients.swarm_recording` from the folder `tests`.
"""

import re
from pathlib import Path

import pytest
from clients.swarming import PATIENCE_S, SCENARIOS, ask, recorded
from clients.test_everyday import compared
from peers.box import NAME


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario", [pytest.param(each, marks=pytest.mark.long if each == "waiting" else ()) for each in SCENARIOS]
)
def test_the_answers_are_dockerds(swarm, scenario):
    lines = SCENARIOS[scenario]
    compared(lines, ask(swarm.sandbox, lines, NAME), recorded(scenario))


@pytest.mark.long
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_is_written_down_is_what_dockerd_says(docker, scenario):
    lines = SCENARIOS[scenario]
    compared(lines, ask(docker.sandbox, lines, NAME), recorded(scenario))


@pytest.mark.long
def test_the_commands_of_the_page(swarm):
    page = (Path(__file__).parents[2] / "docs" / "swarm.md").read_text()
    (commands,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    for line in commands.splitlines():
        swarm.sandbox.run("sh", "-c", line.replace(" alpine ", f" {NAME} "), timeout=PATIENCE_S)
