"""An assembly with the orchestrator in it, served: docker compose does as always."""

import pytest
from clients.engine import opened_moby
from peers.assembled import assembled
from peers.binaries import file
from peers.box import archive
from peers.sandbox import TEMPORARY

pytestmark = pytest.mark.long
MANIFEST = """\
moby: 1
name: composed
extends: [docker]
components:
  orchestrator: compose
"""
FILE = """\
name: shop
services:
  web: {image: localhost/box, command: sleep 1000, stop_signal: SIGKILL}
  db: {image: localhost/box, command: sleep 1000, stop_signal: SIGKILL}
"""


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
    folder = tmp_path_factory.mktemp("composed")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, assembled(folder, "composed", MANIFEST)) as engine:
        yield engine
        engine.check_gone()


def test_docker_compose_is_left_alone(composed):
    """By the orchestrator, which sees all that it does, and so it is after the engine was killed."""
    folder = composed.sandbox.seen(TEMPORARY / "shop")
    folder.mkdir()
    (folder / "compose.yaml").write_text(FILE)

    def compose(*words):
        return composed.sandbox.run("docker", "compose", "--project-directory", TEMPORARY / "shop", *words)

    def there():
        listed = composed.sandbox.run("docker", "ps", "--all", "--format", "{{.Names}} {{.ID}} {{.State}}").stdout
        return sorted(listed.splitlines())

    compose("up", "--detach", "--scale", "web=2")
    before = there()
    assert [each.split()[0] for each in before] == ["shop-db-1", "shop-web-1", "shop-web-2"]
    composed.sandbox.run("kill", "-9", str(composed.pid()))
    composed._daemon.wait(60)
    composed._begin()
    compose("up", "--detach", "--scale", "web=2")
    assert there() == before
    compose("up", "--detach", "--force-recreate", "--scale", "web=1")
    # Of two that are made anew docker compose keeps the one that was made first, which may be either.
    (database, _, first), (web, _, second) = (each.split() for each in there())
    assert (database, first, web[:-1], second) == ("shop-db-1", "running", "shop-web-", "running")
    composed.sandbox.run("docker", "rm", "--force", "shop-db-1")
    assert [each.split()[0] for each in there()] == [web]
    compose("down")
    assert there() == []


def test_it_is_no_swarm(composed):
    """What docker says of services is what it says where there is no swarm."""
    done = composed.sandbox.run("docker", "service", "ls", check=False)
    assert (done.returncode, "This node is not a swarm manager" in done.stderr) == (1, True)
    done = composed.sandbox.run("docker", "swarm", "init", check=False)
    assert (done.returncode, "keeps one machine alone" in done.stderr) == (1, True)
