"""Services that break off, lie, stall, redirect and ask for tokens."""

import io

import pytest

from moby.contracts.image_registry import Credentials, Manifest, Pushed
from moby.contracts.types import ImageReference
from moby.errors import Corrupt, Denied, Invalid, NotFound, Unavailable
from moby.oci import digest as digests
from moby.values import evolve

pytestmark = pytest.mark.slow


def layer_of(client, image, there):
    return b"".join(client.blob(there, digests.sha256(image.layer), len(image.layer)))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_blob_that_breaks_off_goes_on(client, image, there, faulty, ranges):
    faulty.faults.cut_after, faulty.faults.cuts, faulty.faults.no_ranges = 100_000, 2, not ranges
    assert layer_of(client, image, there) == image.layer
    assert faulty.faults.cuts == 0


def test_one_that_breaks_off_at_once_each_time_is_given_up(make, image, there, faulty):
    faulty.faults.cut_after, faulty.faults.cuts = 0, 100
    with pytest.raises(Unavailable, match=r"broke off at 0 of 300000 bytes"):
        layer_of(make(attempts=3), image, there)
    assert faulty.faults.cuts == 97


def test_wrong_bytes(client, image, there, faulty):
    faulty.faults.flip = True
    with pytest.raises(Corrupt, match="not what its digest"):
        layer_of(client, image, there)
    with pytest.raises(Corrupt, match="not what its digest"):
        client.manifest(there)


def test_more_bytes_than_there_should_be(client, image, there, faulty):
    faulty.faults.longer = True
    with pytest.raises(Corrupt, match="longer than 300000 bytes"):
        layer_of(client, image, there)


def test_a_stalled_service(make, image, there, faulty):
    faulty.faults.stall_s = 2.0
    with pytest.raises(Unavailable, match=r"timed out|gives no answer"):
        layer_of(make(stall_s=0.1, attempts=2), image, there)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again(client, image, there, faulty, waits, status):
    faulty.faults.status, faulty.faults.statuses, faulty.faults.retry_after = status, 2, "7"
    assert client.manifest(there) == image.manifest
    assert waits.count(7.0) == 2


def test_one_that_stays_busy(make, there, faulty):
    faulty.faults.status, faulty.faults.statuses = 503, 100
    with pytest.raises(Unavailable, match="can't serve"):
        make(attempts=3).manifest(there)
    assert faulty.faults.statuses == 97


def test_a_refusal_that_makes_no_sense(client, there, faulty):
    faulty.faults.status, faulty.faults.statuses = 418, 1
    with pytest.raises(Invalid, match="status 418"):
        client.manifest(there)


def test_a_busy_service_takes_a_blob_in_the_end(client, image, there, faulty):
    data = b"another"
    faulty.faults.status, faulty.faults.statuses = 503, 2
    sent = client.push_blob(there, digests.sha256(data), len(data), lambda: io.BytesIO(data))
    assert sent == Pushed.SENT


class TestTokens:
    WHO = Credentials("someone", "secret")

    def test_one_is_got_and_kept(self, client, image, there, faulty):
        faulty.faults.token = "abc"
        assert client.manifest(there, self.WHO) == image.manifest
        assert client.manifest(there, self.WHO) == image.manifest
        asked = [each for each in faulty.faults.seen if each[1].startswith("/token")]
        assert len(asked) == 1
        assert asked[0][2].startswith("Basic ")
        assert f"scope=repository%3A{there.path.replace('/', '%2F')}%3Apull" in asked[0][1]

    def test_one_that_no_longer_serves_is_got_anew(self, client, image, there, faulty):
        faulty.faults.token = "abc"
        client.manifest(there)
        faulty.faults.token = "def"
        assert client.manifest(there) == image.manifest

    def test_an_identity_token_is_exchanged(self, client, image, there, faulty):
        faulty.faults.token = "abc"
        assert client.manifest(there, Credentials(identity_token="kept")) == image.manifest
        assert ("POST", "/token", "") in faulty.faults.seen

    def test_a_token_of_the_users_own(self, client, image, there, faulty):
        faulty.faults.token = "abc"
        assert client.manifest(there, Credentials(registry_token="abc")) == image.manifest
        assert not [each for each in faulty.faults.seen if each[1].startswith("/token")]

    def test_one_of_the_users_own_that_no_header_can_hold(self, client, there, faulty):
        faulty.faults.token = "abc"
        with pytest.raises(Invalid, match="given as a token"):
            client.manifest(there, Credentials(registry_token="a\r\nb"))

    def test_none_is_given(self, client, there, faulty):
        faulty.faults.token, faulty.faults.token_status = "abc", 401
        with pytest.raises(Denied, match="gives no token"):
            client.manifest(there)

    def test_none_that_is_one(self, client, there, faulty):
        faulty.faults.token = "a\nb"
        with pytest.raises(Invalid, match="no token"):
            client.manifest(there)

    def test_a_realm_that_is_plain_is_shown_nothing(self, client, there, faulty):
        faulty.faults.token, faulty.faults.token_realm = "abc", "http://elsewhere.example/token"
        with pytest.raises(Invalid, match="no https URL"):
            client.manifest(there, self.WHO)


class TestRedirects:
    def test_they_are_followed_and_shown_no_secret(self, client, image, there, faulty, service):
        faulty.faults.token, faulty.faults.redirect = "abc", f"http://{service}"
        assert layer_of(client, image, there) == image.layer

    def test_not_for_ever(self, make, image, there, faulty):
        faulty.faults.redirect = f"http://{faulty.host}"
        with pytest.raises(Unavailable, match="redirects more than"):
            layer_of(make(attempts=1), image, there)

    def test_not_to_plain_http_elsewhere(self, make, image, there, faulty):
        faulty.faults.redirect = "http://elsewhere.example"
        with pytest.raises(Unavailable, match=r"redirects to http://elsewhere\.example"):
            layer_of(make(attempts=1), image, there)

    def test_not_to_another_scheme(self, make, image, there, faulty):
        faulty.faults.redirect = "file:///etc/passwd?"
        with pytest.raises(Unavailable, match="redirects to file://"):
            layer_of(make(attempts=1), image, there)


class TestMirrors:
    def test_a_mirror_is_asked_first(self, make, image, reference, faulty, client):
        image.push(client, reference)
        mirrored = make(mirrors={"example.org": (f"http://{faulty.host}",)})
        assert mirrored.manifest(ImageReference("example.org", reference.path, "1")) == image.manifest

    def test_the_origin_where_it_fails(self, make, image, there, reference, faulty):
        faulty.faults.status, faulty.faults.statuses = 404, 100
        mirrored = make(mirrors={reference.domain: (f"http://{faulty.host}",)})
        assert mirrored.manifest(reference) == image.manifest
        assert faulty.faults.statuses == 99

    def test_it_is_shown_no_credentials(self, make, image, reference, faulty, there):
        mirrored = make(mirrors={reference.domain: (f"http://{faulty.host}",)})
        faulty.faults.token = "abc"
        assert mirrored.manifest(reference, Credentials("someone", "secret")) == image.manifest
        assert not [each for each in faulty.faults.seen if "Basic" in each[2]]

    def test_nothing_is_sent_to_it(self, make, image, reference, faulty):
        mirrored = make(mirrors={reference.domain: (f"http://{faulty.host}",)})
        image.push(mirrored, reference)
        assert faulty.faults.seen == []

    @pytest.mark.parametrize("url", ["ftp://x", "x", "http://elsewhere.example", "https://"])
    def test_one_that_is_none(self, make, reference, url):
        with pytest.raises(Invalid, match="mirror"):
            make(mirrors={reference.domain: (url,)}).manifest(reference)


def test_a_network_that_is_none(make):
    with pytest.raises(Invalid, match="no network"):
        make(insecure=("10.0.0.0/99",)).manifest(ImageReference("10.0.0.1", "a", "1"))


def test_a_manifest_that_is_taken_for_another(client, there, faulty, image, monkeypatch):
    other = Manifest(digests.sha256(b"x"), image.manifest.media_type, image.manifest.data)
    with pytest.raises(Corrupt, match="has taken the manifest"):
        client.push_manifest(evolve(there, tag="2"), other)


def test_a_manifest_whose_blobs_are_missing(client, reference, image):
    with pytest.raises((Invalid, NotFound), match=reference.path):
        client.push_manifest(reference, image.manifest)
