"""What dockerd makes of the same words and instructions: its values and its messages."""

import json

import pytest
from moby_builder.dockerfile.language.arguments import split_words
from peers.binaries import file, need
from peers.engines import opened
from peers.images import archive
from test_language_parser import REFUSED
from test_language_words import TEXTS, VARIABLES

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
