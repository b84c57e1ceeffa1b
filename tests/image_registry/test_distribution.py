"""The client against Debian's docker-registry: what is sent comes back, under every way in."""

import io
import subprocess

import pytest
from image_registry.conftest import Image
from image_registry.services.real import registry

from moby.contracts.image_registry import Credentials, Pushed
from moby.contracts.types import Digest, ImageReference
from moby.errors import Denied, HostUnfit, Invalid, NotFound, Unavailable
from moby.oci import digest as digests
from moby.values import evolve

WHO = Credentials("someone", "secret")


def test_what_is_pushed_comes_back(client, image, reference):
    assert image.push(client, reference) == [Pushed.SENT, Pushed.SENT]
    found = client.manifest(reference)
    assert found == image.manifest
    for each in image.blobs:
        assert b"".join(client.blob(reference, digests.sha256(each), len(each))) == each
    assert client.manifest(evolve(reference, tag="", digest=found.digest)) == found
    assert client.resolve(reference) == (found.digest, found.media_type, len(found.data))


def test_what_is_there_is_not_sent_again(client, image, reference):
    image.push(client, reference)
    assert image.push(client, reference) == [Pushed.EXISTED, Pushed.EXISTED]


def test_a_blob_of_another_repository_is_taken_over(client, image, reference):
    image.push(client, reference)
    other = evolve(reference, path=f"{reference.path}-other")
    assert image.push(client, other, mount_from=[reference]) == [Pushed.MOUNTED, Pushed.MOUNTED]
    assert client.manifest(other) == image.manifest


def test_a_repository_that_lacks_it_is_no_hindrance(client, image, reference):
    missing = evolve(reference, path="tests/nothing-here")
    assert image.push(client, reference, mount_from=[missing]) == [Pushed.SENT, Pushed.SENT]


def test_progress_is_told(client, image, reference):
    told = []
    client.push_blob(
        reference, digests.sha256(image.layer), len(image.layer), lambda: io.BytesIO(image.layer), progress=told.append
    )
    assert told == sorted(told)
    assert told[-1] == len(image.layer)


def test_a_blob_from_an_offset(client, image, reference):
    image.push(client, reference)
    digest = digests.sha256(image.layer)
    assert b"".join(client.blob(reference, digest, len(image.layer), offset=1000)) == image.layer[1000:]


def test_tags_over_many_pages(client, image, reference):
    image.push(client, reference)
    for tag in ("a", "b", "c"):
        client.push_manifest(evolve(reference, tag=tag), image.manifest)
    assert sorted(client.tags(reference)) == ["1", "a", "b", "c"]


def test_a_password(client, guarded, image):
    reference = ImageReference(guarded, "tests/private", "1")
    image.push(client, reference, WHO)
    assert client.manifest(reference, WHO) == image.manifest
    with pytest.raises(Denied, match=r"tests/private: no basic auth credentials\n"):
        client.manifest(reference)
    with pytest.raises(Denied, match=r"^no basic auth credentials\n"):
        image.push(client, evolve(reference, tag="2"))
    wrong = Credentials("someone", "wrong")
    for call in (lambda: client.manifest(reference, wrong), lambda: image.push(client, reference, wrong)):
        with pytest.raises(Denied, match=r"^unauthorized: authentication required\n"):
            call()


def test_login(client, guarded):
    assert client.login(guarded, WHO) == ""
    with pytest.raises(Denied, match=r"login attempt to .* failed with status: 401"):
        client.login(guarded, Credentials("someone", "wrong"))


def test_login_elsewhere(client, faulty):
    faulty.faults.status, faulty.faults.statuses = 404, 1
    with pytest.raises(Invalid, match="is no image registry"):
        client.login(faulty.host, WHO)


@pytest.mark.parametrize("tag", ["nothing", ""])
def test_what_is_not_there(client, image, reference, tag):
    image.push(client, reference)
    digest = None if tag else Digest("sha256", "0" * 64)
    with pytest.raises(NotFound, match="not found: manifest unknown"):
        client.manifest(evolve(reference, tag=tag, digest=digest))
    with pytest.raises(NotFound):
        client.resolve(evolve(reference, tag=tag, digest=digest))


def test_a_repository_that_is_not_there(client, service):
    with pytest.raises(NotFound):
        list(client.tags(ImageReference(service, "tests/none-such")))


@pytest.mark.parametrize("host", ["127.0.0.1:1", "nobody.invalid"])
def test_nobody_at_home(make, waits, host):
    with pytest.raises(Unavailable, match="gives no answer"):
        make(attempts=5).manifest(ImageReference(host, "a", "1"))
    assert len(waits) == 1, "who isn't there is asked once more, and no longer waited for"


def certificate(folder, *more):
    """Make a certificate for the name `registry.test` alone, and its key."""
    pair = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=ours", "-addext", "subjectAltName=DNS:registry.test"]
    command += ["-out", str(pair[0]), "-keyout", str(pair[1]), *more]
    subprocess.run(command, check=True, capture_output=True)
    return pair


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A service with a certificate that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    pair = certificate(folder, "-days", "2")
    with registry(folder / "registry", tls=pair) as host:
        yield f"registry.test:{host.rpartition(':')[2]}", pair[0]


class TestTls:
    @pytest.fixture(autouse=True)
    def names(self, monkeypatch):
        """Have the name lead to the loopback."""
        import socket

        real = socket.getaddrinfo

        def look_up(host, *rest, **more):
            return real("127.0.0.1" if host == "registry.test" else host, *rest, **more)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    def test_an_unknown_certificate_is_refused(self, make, certified):
        with pytest.raises(Unavailable, match="certificate") as caught:
            make(attempts=1).manifest(ImageReference(certified[0], "a", "1"))
        assert "ca.crt" in caught.value.hint

    def test_an_own_authority(self, make, certified, tmp_path):
        (tmp_path / certified[0]).mkdir()
        (tmp_path / certified[0] / "ca.crt").write_bytes(certified[1].read_bytes())
        client, image = make(certificates=str(tmp_path)), Image()
        image.push(client, ImageReference(certified[0], "tls/image", "1"))
        assert client.manifest(ImageReference(certified[0], "tls/image", "1")) == image.manifest

    @pytest.mark.parametrize("began", ["2020", "2060"])
    def test_a_certificate_of_another_time(self, make, tmp_path, began):
        """As one is for a host whose clock is wrong."""
        pair = certificate(tmp_path, "-not_before", f"{began}0101000000Z", "-not_after", f"{began}0102000000Z")
        with registry(tmp_path / "registry", tls=pair) as host:
            name = f"registry.test:{host.rpartition(':')[2]}"
            (tmp_path / name).mkdir()
            (tmp_path / name / "ca.crt").write_bytes(pair[0].read_bytes())
            with pytest.raises(Unavailable, match="certificate") as caught:
                make(attempts=1, certificates=str(tmp_path)).manifest(ImageReference(name, "a", "1"))
        assert "this host's clock" in caught.value.hint

    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    def test_named_insecure_it_need_not_be_known(self, make, certified):
        with pytest.raises(NotFound):
            make(insecure=(certified[0],)).manifest(ImageReference(certified[0], "a", "1"))

    def test_a_certificate_that_is_none(self, make, certified, tmp_path):
        (tmp_path / certified[0]).mkdir()
        (tmp_path / certified[0] / "ca.crt").write_text("nonsense")
        with pytest.raises(HostUnfit, match="can't be read"):
            make(certificates=str(tmp_path)).manifest(ImageReference(certified[0], "a", "1"))

    def test_a_certificate_without_its_key(self, make, certified, tmp_path):
        (tmp_path / certified[0]).mkdir()
        (tmp_path / certified[0] / "client.cert").write_text("")
        with pytest.raises(Invalid, match="no key beside it"):
            make(certificates=str(tmp_path)).manifest(ImageReference(certified[0], "a", "1"))

    def test_plain_http_is_not_asked_of_others(self, make, service):
        name = f"registry.test:{service.rpartition(':')[2]}"
        with pytest.raises(Unavailable, match="gives no answer: no TLS with it: ") as caught:
            make(attempts=1).manifest(ImageReference(name, "a", "1"))
        assert "name it among `insecure`" in caught.value.hint
        with pytest.raises(NotFound):
            make(insecure=("registry.test",)).manifest(ImageReference(name, "a", "1"))
