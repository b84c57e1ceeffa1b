"""pull, push, login and logout as verbs: what is asked for, what is printed, what is kept."""

import gzip
import io
import json
import sys

import pytest
from images.store_parts import parts, store_of
from moby_image_registry.folder.layouts import Layouts
from moby_images.command.verb import DockerVerb, ImageCommand
from moby_metadata.sqlite.store import Store as Metadata

from moby.contracts.image_registry import Credentials
from moby.errors import Corrupt, HostUnfit, Invalid, Unavailable, Unsupported
from moby.oci import logins
from moby.oci.digest import sha256
from moby.testing.archives import Archived
from moby.testing.image_transfers import Recorder, send
from moby.testing.images import add, layer_of

TAR = layer_of({"a": b"1" * 1000})
MADE = Archived([TAR], packed=[gzip.compress(TAR, mtime=0)])


class Registry(Recorder):
    """Knows whom it gave a token."""

    token = ""
    who = None

    def login(self, server, credentials):
        self.who = server, credentials
        return self.token

    def saved(self, server):
        return logins.saved(server)


@pytest.fixture
def registry(tmp_path):
    return Registry(Layouts(tmp_path / "registry"))


@pytest.fixture
def images(tmp_path, registry):
    with Metadata(tmp_path / "metadata.db") as metadata:
        yield store_of(parts(tmp_path, metadata), registry)


@pytest.fixture
def verb(images, registry, capsys, monkeypatch, tmp_path):
    """A function that runs a verb with standard input, and returns its exit code, output and errors."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("PATH", str(tmp_path))

    def run(name, *arguments, stdin=""):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = DockerVerb(images, name, registry).run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_pull(verb, images, registry):
    manifest = send(registry, "example.org/a:latest", MADE)
    code, out, _ = verb("pull", "example.org/a")
    assert (code, out.splitlines()) == (0, [
        "Using default tag: latest", "latest: Pulling from a", *[
            f"{sha256(MADE.packed[0]).hex[:12]}: {step}"
            for step in ("Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete")
        ],
        f"Digest: {manifest.digest}", "Status: Downloaded newer image for example.org/a:latest",
        "example.org/a:latest",
    ])  # fmt: skip
    assert verb("pull", "-q", "example.org/a") == (0, "example.org/a:latest\n", "")
    assert verb("pull", "-a", "example.org/a")[1].endswith("up to date for example.org/a\nexample.org/a\n")
    assert str(images.get("example.org/a").id) == MADE.id


def test_push(verb, images):
    add(images, "example.org/a:1", TAR)
    code, out, _ = verb("push", "example.org/a:1")
    assert (code, out.splitlines()[:3]) == (0, [
        "The push refers to repository [example.org/a]", f"{sha256(TAR).hex[:12]}: Preparing",
        f"{sha256(TAR).hex[:12]}: Pushed",
    ])  # fmt: skip
    assert verb("push", "--quiet", "example.org/a:1") == (0, "example.org/a:1\n", "")
    assert verb("push", "-a", "-q", "example.org/a")[0] == 0
    with pytest.raises(Invalid, match="can't be used with --all-tags"):
        verb("push", "-a", "example.org/a:1")


def test_login_and_logout(verb, registry, tmp_path):
    code, out, errors = verb("login", "-u", "me", "--password-stdin", "example.org", stdin="secret\n")
    assert (code, out, "stored unencrypted" in errors) == (0, "Login Succeeded\n", True)
    assert registry.who == ("example.org", Credentials("me", "secret"))
    path = tmp_path / "docker/config.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {"auths": {"example.org": {"auth": "bWU6c2VjcmV0"}}}
    send(registry, "example.org/a:1", MADE)
    verb("pull", "example.org/a:1")
    assert registry.credentials == {Credentials("me", "secret"), None}  # whoever put it there
    assert verb("logout", "example.org")[1] == "Removing login credentials for example.org\n"
    assert json.loads(path.read_text()) == {"auths": {}}
    verb("logout", "example.org")


def test_login_with_a_token(verb, registry, tmp_path):
    registry.token = "kept"
    _, _, errors = verb("login", "-u", "me", "-p", "secret")
    assert "WARNING! Using --password via the CLI is insecure" in errors
    assert logins.saved("docker.io") == Credentials("me", "", "kept")
    (tmp_path / "docker/config.json").write_text('{"other": 1, "auths": {"b": {}}}')
    verb("login", "-u", "me", "-p", "secret", "example.org")
    assert json.loads((tmp_path / "docker/config.json").read_text())["other"] == 1


def test_a_helper_keeps_them(verb, tmp_path):
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"credsStore": "ours"}')
    helper = tmp_path / "docker-credential-ours"
    helper.write_text(f"#!/bin/sh\necho $1 >>{tmp_path}/asked\n/bin/cat >>{tmp_path}/asked\n")
    helper.chmod(0o755)
    _, _, errors = verb("login", "-u", "me", "-p", "secret", "example.org")
    assert "unencrypted" not in errors
    verb("logout", "example.org")
    asked = (tmp_path / "asked").read_text()
    assert asked == 'store\n{"ServerURL": "example.org", "Username": "me", "Secret": "secret"}erase\nexample.org'
    assert json.loads((tmp_path / "docker/config.json").read_text()) == {"credsStore": "ours", "auths": {}}
    helper.write_text("#!/bin/sh\necho locked; exit 1\n")
    with pytest.raises(Unavailable, match="can't store credentials: locked"):
        verb("login", "-u", "me", "-p", "secret", "example.org")
    verb("logout", "example.org")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-u", "me", "-p", "x", "--password-stdin"], "mutually exclusive"),
        (["--password-stdin"], "must provide --username"),
        ([], "non TTY device"),
    ],
)
def test_login_that_can_t_be(verb, arguments, text):
    with pytest.raises(Invalid, match=text):
        verb("login", *arguments)


def test_login_at_a_terminal(images, registry, monkeypatch, tmp_path, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr(sys, "stdin", Terminal("me\n"))
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"{prompt}typed")
    assert ImageCommand(images, registry).run(["login", "example.org"]) == 0
    assert registry.who == ("example.org", Credentials("me", "Password: typed"))
    assert "Username: " in capsys.readouterr().out


def test_a_folder_that_can_t_be_written(verb, tmp_path):
    (tmp_path / "docker").write_text("a file")
    with pytest.raises((HostUnfit, Corrupt), match="docker"):
        verb("login", "-u", "me", "-p", "secret", "example.org")


def test_a_distribution_without_a_client(images, monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(Unsupported, match="no image registry's client"):
        ImageCommand(images).run(["login", "-u", "me", "-p", "x"])
    add(images, "example.org/a:1", TAR)
    assert ImageCommand(images).run(["push", "example.org/a:1"]) == 0


def test_the_header():
    assert logins.header(None) == ""
    assert logins.header(Credentials("me", "secret")) == "eyJ1c2VybmFtZSI6ICJtZSIsICJwYXNzd29yZCI6ICJzZWNyZXQifQ=="


def test_a_file_that_can_t_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(HostUnfit, match="can't write"):
        logins.save("example.org", Credentials("me", "secret"))
