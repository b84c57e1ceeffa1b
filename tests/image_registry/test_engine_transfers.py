"""The unmodified docker command pulls from and pushes to real image registries through the whole engine."""

import json
import subprocess
import time

import pytest
from clients.engine import SOCKET, opened_moby
from image_registry.engines import FAULTY, GUARDED, OPEN, SECURE, Around
from peers.assembled import assembled
from peers.box import NAME, archive
from peers.sandbox import until

pytestmark = pytest.mark.slow
MANIFEST = """\
moby: 1
name: docker
extends: [docker]
components:
  image-registry: {use: distribution, config: {attempts: 2, stall_s: 5}}
"""


@pytest.fixture(scope="module")  # whose processes are this one's children, for which others wait
def around(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfers")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened_moby(folder / "moby", image, assembled(folder, "docker", MANIFEST)) as engine:
        found = Around(engine, folder / "registries.log")
        found.registry(OPEN)
        found.registry(GUARDED, passwords=True)
        _certify(found)
        found.faulty()
        found.said("tag", NAME, _at(OPEN, "box"))
        found.said("push", _at(OPEN, "box"))
        yield found
    found.close()


def _certify(around):
    """Make a certificate of a name, and have the engine trust it."""
    script = f"""
        cd /var/lib/peers && echo '127.0.0.1 registry.test' >>/etc/hosts
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ours \
            -addext subjectAltName=DNS:registry.test -out cert.pem -keyout key.pem
        mkdir -p /etc/docker/certs.d/registry.test:{SECURE}
        cp cert.pem /etc/docker/certs.d/registry.test:{SECURE}/ca.crt
    """
    around.sandbox.run("sh", "-ec", script)
    around.registry(SECURE, tls=("/var/lib/peers/cert.pem", "/var/lib/peers/key.pem"))


def _at(port, name, tag="1"):
    return f"{'registry.test' if port == SECURE else '127.0.0.1'}:{port}/{name}:{tag}"


@pytest.fixture
def far(around):
    """A name at the faulty service of an image that the engine hasn't got."""
    images = around.said("images", "-aq").split()
    if images:
        around.said("rmi", "-f", *dict.fromkeys(images))
    around.faults()
    return _at(FAULTY, "box")


def test_push_remove_pull_run(around, far):
    name = _at(OPEN, "box")
    assert f"Status: Downloaded newer image for {name}" in around.said("pull", name)
    assert around.said("run", "--rm", "--network", "none", name, "echo", "ran") == "ran"
    assert f"Status: Image is up to date for {name}" in around.said("pull", name)
    assert around.said("pull", "-q", name) == name


def test_run_of_an_absent_image_pulls_it(around, far):
    done = around.docker("run", "--rm", "--network", "none", _at(OPEN, "box"), "echo", "ran")
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert f"Unable to find image '{_at(OPEN, 'box')}' locally" in done.stderr
    done = around.docker("run", "--pull", "never", "--network", "none", _at(OPEN, "never"))
    assert (done.returncode, "No such image" in done.stderr) == (125, True)


def test_own_verbs(around, far):
    engine, name = around.engine, _at(OPEN, "own")
    around.said("pull", _at(OPEN, "box"))
    engine.verb("tag", _at(OPEN, "box"), name)
    assert "Mounted from box" in engine.verb("push", name).stdout
    engine.verb("rmi", name, _at(OPEN, "box"))
    done = engine.verb("run", "--rm", "--network", "none", name, "echo", "ran")
    assert (done.stdout, "Unable to find image" in done.stderr) == ("ran\n", True)
    done = engine.verb("run", "--pull", "always", "--rm", "--network", "none", name, "echo", "ran")
    assert f"Status: Image is up to date for {name}" in done.stderr
    assert engine.verb("run", "--pull", "never", _at(OPEN, "never"), check=False).returncode == 125
    assert engine.verb("create", "--pull", "soon", name, check=False).returncode == 1
    assert engine.verb("pull", "-q", name).stdout == f"{name}\n"
    around.said("rmi", "-f", name)
    around.faults(flip=True)
    done = engine.verb("run", "--network", "none", far, check=False)
    assert (done.returncode, "is not what its digest" in done.stderr) == (125, True)


def test_a_password(around, far):
    name = _at(GUARDED, "box")
    around.said("pull", _at(OPEN, "box"))
    around.said("tag", _at(OPEN, "box"), name)
    assert around.docker("push", name).stderr == "no basic auth credentials\n"
    done = around.docker("login", "-u", "someone", "--password-stdin", f"127.0.0.1:{GUARDED}", input="wrong")
    assert (done.returncode, "failed with status: 401 Unauthorized" in done.stderr) == (1, True)
    done = around.docker("login", "-u", "someone", "--password-stdin", f"127.0.0.1:{GUARDED}", input="secret")
    assert "Login Succeeded" in done.stdout
    around.said("push", name)
    around.said("rmi", name)
    assert around.engine.verb("run", "--rm", "--network", "none", name, "echo", "ran").stdout == "ran\n"
    around.said("rmi", name)
    around.said("pull", name)
    around.said("logout", f"127.0.0.1:{GUARDED}")
    done = around.docker("pull", name)
    assert (done.returncode, "no basic auth credentials" in done.stderr) == (1, True)


def test_a_token(around, far):
    around.faults(token="abc")
    assert "Downloaded newer image" in around.said("pull", far)
    assert ["GET", "/token?service=ours&scope=repository%3Abox%3Apull", "-"] in around.seen()


def test_tls(around, far):
    name = _at(SECURE, "box")
    around.said("pull", _at(OPEN, "box"))
    around.said("tag", _at(OPEN, "box"), name)
    around.said("push", name)
    around.said("rmi", name)
    assert "Downloaded newer image" in around.said("pull", name)
    stranger = f"127.0.0.1:{SECURE}/box:1"  # for which the certificate isn't
    assert around.docker("push", stranger).returncode == 1


def test_a_connection_that_is_cut(around, far):
    around.faults(cuts=2, cut_after=100_000)
    assert "Downloaded newer image" in around.said("pull", far)
    ranges = [each[2] for each in around.seen() if "/blobs/" in each[1]]
    assert any(each.startswith("bytes=100000-") for each in ranges)
    assert around.said("run", "--rm", "--network", "none", far, "echo", "ran") == "ran"


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ({"flip": True}, "is not what its digest"),
        ({"cuts": 1000, "cut_after": 1000, "no_ranges": True}, "broke off"),
        ({"stall_s": 8}, "gives no answer"),
        ({"status": 503, "statuses": 1000}, "can't serve"),
    ],
    ids=["lies", "dies", "stalls", "busy"],
)
def test_what_goes_wrong(around, far, faults, text):
    around.faults(**faults)
    done = around.docker("pull", far)
    assert (done.returncode, text in done.stderr) == (1, True), done.stderr
    assert around.said("images", "-aq") == ""
    around.faults(no_ranges=False)
    assert "Downloaded newer image" in around.said("pull", far)


def test_two_at_once_fetch_it_once(around, far):
    command = around.sandbox.argv("docker", "pull", far)
    both = [
        subprocess.Popen(command, env=around.sandbox.environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert all("Digest: sha256:" in each.communicate()[0] and each.returncode == 0 for each in both)
    blobs = [each[1] for each in around.seen() if each[0] == "GET" and "/blobs/" in each[1]]
    assert len(blobs) == len(set(blobs)) == 2


def test_a_tag_that_moves(around, far):
    around.said("pull", far)
    first = around.said("inspect", "--format", "{{.Id}}", far)
    around.said("create", "--network", "none", "--name", "other", far)
    moved = around.said("commit", "-c", "LABEL a=b", "other", far)
    around.said("rm", "other")
    around.said("push", far)
    around.said("rmi", "-f", far, moved, first)
    assert around.said("images", "-aq") == ""
    around.said("pull", far)
    assert around.said("inspect", "--format", "{{.Id}}", far) == moved


def test_killed_while_it_pulls(around, far):
    """The next start has no image, and the next pull goes on with what had come."""
    around.faults(cuts=1000, cut_after=300_000, hold_s=30)
    command = around.sandbox.argv("docker", "pull", far)
    client = subprocess.Popen(
        command, env=around.sandbox.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    ingests = around.sandbox.seen("/var/lib/docker/engine")
    until(lambda: any(each.stat().st_size > 200_000 for each in ingests.rglob("ingest/*/data")), "some of a layer")
    around.sandbox.run("kill", "-9", str(around.engine.pid()))
    client.communicate()
    around.engine._daemon.wait()
    around.faults()
    around.engine._begin()
    assert around.said("images", "-aq") == ""
    assert "Downloaded newer image" in around.said("pull", far)
    assert any(each[2].startswith("bytes=2") for each in around.seen())
    assert around.said("run", "--rm", "--network", "none", far, "echo", "ran") == "ran"
    assert not list(ingests.rglob("ingest/*/data"))


def test_what_a_name_means_there(around, far):
    path = f"http://engine/v1.44/distribution/{_at(OPEN, 'box')}/json"
    found = json.loads(around.sandbox.run("curl", "-sf", "--unix-socket", SOCKET, path).stdout)
    assert found["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    assert f"Digest: {found['Descriptor']['digest']}" in around.said("pull", _at(OPEN, "box"))


def test_events(around, far):
    since = f"{time.time():.9f}"
    name = _at(OPEN, "box")
    around.said("pull", name)
    around.said("push", name)
    span = ("--since", since, "--until", f"{time.time():.9f}")
    told = around.said("events", *span, "--filter", "type=image", "--format", "{{.Action}} {{.Actor.ID}}")
    assert told.splitlines() == [f"pull {name}", f"push {name}"]
