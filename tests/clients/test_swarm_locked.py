"""A swarm whose managers are locked, over an engine's end and its start, with the unmodified docker command."""

import pytest
from peers.box import NAME
from peers.sandbox import until

pytestmark = [pytest.mark.slow, pytest.mark.long]
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)


def test_a_locked_manager_says_so_until_it_is_unlocked(swarm):
    swarm("swarm", "init", "--advertise-addr", "127.0.0.1", "--autolock")
    key = swarm.out("swarm", "unlock-key", "-q")
    swarm("service", "create", "-d", "--name", "web", "--no-resolve-image", "--init", NAME, "sleep", "1000")
    until(lambda: swarm.out("service", "ls", "--format", "{{.Replicas}}") == "1/1", "the task")
    task = swarm.out("service", "ps", "-q", "web")
    swarm.again()
    assert swarm.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "locked"
    said = swarm("service", "ls", check=False)
    assert (said.returncode, said.stderr.strip()) == (1, f"Error response from daemon: {LOCKED}")
    said = swarm("swarm", "unlock", check=False, input=f"{key[:-3]}abc\n")
    assert "swarm could not be unlocked: invalid key provided" in said.stderr
    swarm("swarm", "unlock", input=f"{key}\n")
    assert swarm.out("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
    until(lambda: swarm.out("service", "ls", "--format", "{{.Replicas}}") == "1/1", "the task, which went on")
    assert swarm.out("service", "ps", "-q", "web") == task, "a task of before was followed by another one"
    swarm("swarm", "leave", "--force")
    assert swarm.out("ps", "-aq") == ""
