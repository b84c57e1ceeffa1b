"""An engine whose metadata, content, snapshotter, image registry and log driver each have a process of their own."""

import json

import pytest
from attrs import define
from clients.engine import Moby, opened
from clients.matrix import IMAGE, lived, transferred
from image_registry.engines import OPEN, Around
from peers.assembled import assembled
from peers.sandbox import TEMPORARY, until

pytestmark = pytest.mark.long

SERVED = (
    "content/local", "image-registry/distribution", "log-driver/json-file", "metadata/sqlite", "snapshotter/overlay",
)  # fmt: skip
MANIFEST = """\
moby: 1
name: apart
extends: [docker]
components:
  content: {use: local, served: true}
  image-registry: {use: distribution, served: true}
  log-driver: {use: json-file, served: true}
  metadata: {use: sqlite, served: true}
  snapshotter: {use: overlay, served: true}
"""
CONTEXT = f"{TEMPORARY}/context"
DOCKERFILE = f"FROM {IMAGE}\\nRUN echo built >/b\\n"


@define
class Apart(Moby):
    """The assembly, with an image registry beside it."""

    around: Around | None = None

    def open(self, image):
        self.around = Around(self, self.log)
        self.around.registry(OPEN)
        super().open(image)

    def close(self):
        super().close()
        for each in self.around.started if self.around else ():
            each.kill()
            each.wait()

    def processes(self):
        """Return the processes of its served parts by their keys."""
        self.verb("support", "-o", f"{TEMPORARY}/support.tar.gz")
        found = self.sandbox.run("tar", "-xzOf", f"{TEMPORARY}/support.tar.gz", "apart-support/parts.json").stdout
        return {each["key"]: each["pid"] for each in json.loads(found)["parts"]}


@pytest.fixture(scope="module")
def engine(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("apart")
    with opened(Apart, folder / "engine", image, distribution=assembled(folder, "apart", MANIFEST)) as found:
        yield found
        found.check_gone()


def test_the_scenario_of_the_matrix(engine):
    """Pull and push, build upon layers, logs: each part is called in its own process."""
    assert {*SERVED} <= {*engine.processes()}
    transferred(engine)
    lived(engine, "bridge", "local")
    engine.sandbox.run("sh", "-c", f"mkdir -p {CONTEXT}; printf '{DOCKERFILE}' >{CONTEXT}/Dockerfile")
    engine("build", "-q", "-t", "built", CONTEXT)
    assert engine.out("run", "--rm", "--network", "none", "built", "cat", "/b") == "built"


def test_each_is_killed_in_turn(engine):
    """The engine goes on with the next process of each, and so does the log of a container that runs on."""
    engine("run", "-d", "--name", "told", "--network", "none", IMAGE, "sleep", "1000")

    def tell(word):
        engine("exec", "told", "sh", "-c", f"echo {word} >/proc/1/fd/1")
        until(lambda: word in engine.out("logs", "told"), f"the log's {word}")

    tell("before")
    before = engine.processes()
    for key in SERVED:
        engine.sandbox.run("kill", "-KILL", str(before[key]))
        tell(key.partition("/")[0])
    engine("tag", IMAGE, f"localhost:{OPEN}/again:1")
    engine("push", "-q", f"localhost:{OPEN}/again:1")
    engine("run", "--rm", "--network", "none", IMAGE, "true")
    now = engine.processes()
    assert not {before[key] for key in SERVED} & {*now.values()}
    assert engine.out("logs", "told").split() == ["before", *(each.partition("/")[0] for each in SERVED)]
    engine("rm", "-f", "told")
