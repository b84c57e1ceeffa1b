"""`compose` of the distribution where images are built, and what is missing."""

import pytest
from clients.engine import opened_moby
from peers.box import archive
from peers.sandbox import TEMPORARY

pytestmark = pytest.mark.slow
FOLDER = TEMPORARY / "built"
APPLICATION = """
services:
  web:
    build:
      context: .
      args: ["WORD=${WORD:-first}"]
      labels: {own: label}
    command: sh -c "cat /said; sleep 1000"
    stop_signal: SIGKILL
  inline:
    image: example/inline
    build: {context: ., dockerfile_inline: "FROM localhost/box\\nCOPY file /copied\\n"}
    command: cat /copied
"""


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def engine(tmp_path_factory, docker_pyz):
    folder = tmp_path_factory.mktemp("built")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "engine", image, docker_pyz) as found:
        inside = found.sandbox.seen(FOLDER)
        inside.mkdir()
        (inside / "compose.yaml").write_text(APPLICATION)
        (inside / "Dockerfile").write_text("FROM localhost/box\nARG WORD\nRUN echo $WORD >/said\n")
        (inside / "file").write_text("of the context\n")
        yield found
        found.verb("compose", "--project-directory", FOLDER, "down", "--rmi", "all", "--timeout", "1")
        assert "inline" not in found.sandbox.run("docker", "images").stdout
        found.check_gone()


def compose(engine, *words, **options):
    return engine.verb("compose", "--project-directory", FOLDER, *words, **options)


def test_images_are_built_where_they_are_missing_or_asked_for(engine):
    compose(engine, "up", "--detach", "web")
    assert compose(engine, "exec", "-T", "web", "cat", "/said").stdout == "first\n"
    wanted = '{{.Config.Labels.own}} {{index .Config.Labels "com.docker.compose.service"}}'
    labels = engine.sandbox.run("docker", "image", "inspect", "--format", wanted, "built-web").stdout
    assert labels == "label web\n"
    compose(engine, "up", "--detach", "--build", "--timeout", "1", "web", env={"WORD": "second"})
    assert compose(engine, "exec", "-T", "web", "cat", "/said").stdout == "second\n"
    compose(engine, "build", "inline")
    assert compose(engine, "run", "--rm", "-T", "inline").stdout == "of the context\n"


def test_what_is_missing(engine):
    engine.sandbox.run("docker", "image", "rm", "--force", "example/inline")
    done = compose(engine, "up", "--detach", "--no-build", "--pull", "never", "inline", check=False)
    assert done.returncode == 1
    assert "the image example/inline of service inline isn't there" in done.stderr
    each_time = "services: {it: {build: ., image: example/it, pull_policy: build}}\n"
    engine.sandbox.seen(FOLDER / "each.yaml").write_text(each_time)
    done = compose(engine, "--file", FOLDER / "each.yaml", "create", "--no-build", check=False)
    assert (done.returncode, "the image example/it of service it isn't there" in done.stderr) == (1, True)
