"""A real application: nginx, an API, PostgreSQL and Redis of Debian's, in images that our builder makes."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from clients.engine import opened_moby
from compose import shop_roots
from peers.binaries import file
from peers.box import archive
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.long
FOLDER = TEMPORARY / "shop"
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=60).read().decode(), end='')"


class Shop:
    def __init__(self, engine):
        self.engine = engine
        folder = Path(engine.sandbox.seen(FOLDER))
        shutil.copytree(Path(__file__).parent / "shop", folder)
        shop_roots.lay(folder)

    def compose(self, who, *words, **more):
        first = ["docker", "compose"] if who == "docker compose" else self.engine.argv("compose")
        return self.engine.sandbox.run(*first, "--project-directory", FOLDER, *words, timeout=280, **more)

    def ask(self, path, **more):
        return self.engine.sandbox.run(sys.executable, "-c", ASK, f"http://127.0.0.1:8088{path}", **more).stdout

    def visit(self):
        return json.loads(self.ask("/api/visit"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory, docker_pyz):
    file("usr/libexec/docker/cli-plugins/docker-compose", "compose")
    folder = tmp_path_factory.mktemp("shop")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as engine:
        yield Shop(engine)


@pytest.mark.parametrize("who", ["docker compose", "own compose"])
def test_the_shop(shop, who):
    """It is built, comes up in order, works together, survives a restart of its parts, and goes."""
    shop.compose(who, "build")
    shop.compose(who, "up", "--detach")
    until(lambda: "The shop" in shop.ask("/", check=False), "nginx to listen")
    assert [shop.visit() for _ in range(3)] == [{"ever": n, "cached": n} for n in (1, 2, 3)]
    shop.compose(who, "restart", "cache")
    until(lambda: _answers(shop) == {"ever": 4, "cached": 1}, "the cache to begin anew")
    shop.compose(who, "restart", "db")
    until(lambda: _answers(shop) is not None, "the database to be back")
    ever = shop.visit()["ever"]
    other = "own compose" if who == "docker compose" else "docker compose"
    shop.compose(who, "down")
    shop.compose(other, "up", "--detach")
    until(lambda: _answers(shop) is not None, "nginx to listen")
    assert shop.visit() == {"ever": ever + 2, "cached": 2}
    assert "database system is ready to accept connections" in shop.compose(who, "logs", "db").stdout
    shop.compose(other, "down", "--volumes")
    assert "shop" not in shop.engine.sandbox.run("docker", "volume", "ls", "--quiet").stdout


def _answers(shop):
    told = shop.ask("/api/visit", check=False)
    return json.loads(told) if told else None
