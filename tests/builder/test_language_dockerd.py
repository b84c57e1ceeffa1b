"""What dockerd makes of the same words and instructions: its values and its messages."""

import contextlib
import http.client
import json
import socket

import pytest
from moby_builder.dockerfile.language.arguments import split_words
from moby_frontend.docker.call import Query
from moby_frontend.docker.classic.options import request
from peers.binaries import file, need
from peers.box import archive
from peers.engines import opened
from peers.sandbox import PATIENCE_S
from test_language_parser import REFUSED
from test_language_words import TEXTS, VARIABLES

from moby.errors import Invalid

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory):
    need("docker", "docker")
    file("usr/libexec/docker/cli-plugins/docker-buildx", "docker")
    folder = tmp_path_factory.mktemp("dockerd")
    with opened("docker", "runc", folder, archive(folder / "box.tar", folder / "rootfs")) as engine:
        yield engine


def build(dockerd, source):
    """Build a Dockerfile, and return its image's labels, or the error."""
    done = dockerd("buildx", "build", "--quiet", "-", input=source, check=False)
    if done.returncode:
        (error,) = [each for each in done.stderr.splitlines() if each.startswith("ERROR: ")]
        return error.removeprefix("ERROR: failed to solve: ")
    return json.loads(dockerd.out("image", "inspect", done.stdout.strip()))[0]["Config"]["Labels"]


def test_words(dockerd):
    # It dies of a pattern that is empty, and has two lines where a word ends with an escaped space.
    left_out = {"${A#}", "${A##}", "\\ "}
    texts = [each for each in TEXTS if TEXTS[each] is not None and split_words(each, "\\") == [each]]
    texts = [each for each in texts if each not in left_out]
    source = "FROM scratch\n" + "".join(f'ENV {name}="{value}"\n' for name, value in VARIABLES.items())
    source += "".join(f"LABEL l{number}={text}\n" for number, text in enumerate(texts))
    labels = build(dockerd, source)
    assert len(texts) > 100
    assert {text: labels[f"l{number}"] for number, text in enumerate(texts)} == {text: TEXTS[text] for text in texts}


def _once():
    """Return one text for each message, of those that the peer can give: devices came later."""
    found = {}
    for text, message in REFUSED:
        if "--device" not in text and "--security" not in text and "--chwon" not in text:
            found.setdefault(message.partition(" ")[2] or message, (text, message))
    return sorted(found.values())


def test_what_is_refused(dockerd):
    told = {}
    for text, message in _once():
        # Later versions say `--name` of a flag.
        said = message.replace(": --", ": ").replace("flag --", "flag ")
        told[text] = f"dockerfile parse error on line 3: {said[1:]}" if said.startswith("!") else said
    assert len(told) > 30
    assert {text: build(dockerd, f"FROM scratch\n\n{text}") for text in told} == told


def _posted(dockerd, query):
    """Ask for a build by one call; return its status, and the error."""
    connection = http.client.HTTPConnection("dockerd")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect(str(dockerd.sandbox.seen("/run/docker.sock")))
        connection.sock = sock
        connection.request("POST", f"/v1.45/build?{query}", body=b"", headers={"Content-Type": "application/x-tar"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["message"]


@pytest.mark.parametrize(
    "query",
    ["squash=1", "squash=x&version=2", "squash=1&version=9", "securityopt=x", "securityopt=&squash=1",
     "securityopt=x&version=9", "version=9"],
)  # fmt: skip
def test_what_a_call_can_not_ask_for(dockerd, query):
    with pytest.raises(Invalid) as found:
        request(Query(query))
    assert _posted(dockerd, query) == (400, found.value.message)


@pytest.mark.parametrize("option", ["--squash", "--security-opt=seccomp=unconfined"])
def test_what_the_client_leaves_out(dockerd, option):
    """It warns, and asks for what it would have asked for anyhow."""
    done = dockerd("build", "--quiet", option, "-", input="FROM scratch\nLABEL a=b\n")
    assert "WARNING: " in done.stderr
    assert done.stdout.startswith("sha256:")
