"""Services that mean ill: nothing that one says is no error of ours, without end, or a way to others' secrets."""

import gzip
import io
import json
import zlib

import pytest
from image_registry.services.raw import answer, raw
from moby_image_registry.distribution.settings import Settings

from moby.contracts.image_registry import Credentials
from moby.contracts.types import ImageReference
from moby.errors import Corrupt, Denied, Invalid, MobyError, NotFound, Unavailable
from moby.oci import digest as digests

WHO = Credentials("someone", "secret")
PLACES = (
    "https://[bad/", "//[", "http://127.0.0.1:99999/", "http://127.0.0.1:x/", "https:///x", "https://x y/",
    f"https://{'a' * 70}/", "http://127.0.0.1:1/\x01\xff", "ftp://127.0.0.1:1/x",
)  # fmt: skip


@pytest.fixture
def asker(make):
    return make(attempts=2)


@pytest.fixture
def hasty(make):
    """One that soon gives up who says nothing more."""
    return make(attempts=2, stall_s=0.3)


def named(service):
    return ImageReference(service.host, "a", "1")


def endless(head):
    """Bytes without end after a head, or after as many as nobody should have read."""
    yield head
    for _ in range(1000):
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"
    raise AssertionError("all of it was read")


@pytest.mark.parametrize("length", ["abc", "-5", "12, 12", "9" * 5000, "\xb2"])
def test_a_length_that_is_none(hasty, length):
    with raw(lambda head: answer(200, body=b"{}", length=length)) as service, pytest.raises(Unavailable):
        hasty.manifest(named(service))
    with raw(lambda head: answer(404, body=b"{}", length=length)) as service, pytest.raises((NotFound, Unavailable)):
        hasty.manifest(named(service))


def test_a_length_that_is_none_of_a_tag(hasty):
    told = f"Docker-Content-Digest: sha256:{'a' * 64}"
    with raw(lambda head: answer(200, told, length="9" * 5000)) as service, pytest.raises(Unavailable):
        hasty.resolve(named(service))


@pytest.mark.parametrize(
    "lie", ["Content-Length: -5", "Content-Length: 5\r\nTransfer-Encoding: chunked"], ids=["less-than-none", "chunked"]
)
def test_what_follows_a_redirection_without_end_is_left(asker, lie):
    head = answer(302, lie, "Location: /v2/x", length=None)
    with raw(lambda head_: endless(head)) as service, pytest.raises(Unavailable, match="redirects more than"):
        asker.manifest(named(service))


@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_is_none(asker, place):
    with raw(lambda head: answer(302, f"Location: {place}")) as service, pytest.raises(Unavailable):
        asker.manifest(named(service))
    challenge = f'WWW-Authenticate: Bearer realm="{place}"'
    with raw(lambda head: answer(401, challenge)) as service, pytest.raises((Invalid, Unavailable)):
        asker.manifest(named(service), WHO)

    def begun(head):
        return answer(404) if head.startswith("HEAD") else answer(202, f"Location: {place}")

    with raw(begun) as service, pytest.raises((Invalid, Unavailable)):
        asker.push_blob(named(service), digests.sha256(b"x"), 1, lambda: io.BytesIO(b"x"), WHO)


def test_an_upload_that_goes_on_elsewhere_in_the_same_way(asker):
    """Which is plain here, so that it isn't sent to somebody who may not be asked so."""

    def begun(head):
        return answer(404) if head.startswith("HEAD") else answer(202, "Location: //elsewhere.invalid/x")

    with raw(begun) as service, pytest.raises(Unavailable, match="redirects to http://elsewhere"):
        asker.push_blob(named(service), digests.sha256(b"x"), 1, lambda: io.BytesIO(b"x"), WHO)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(answer(200, "Content-Encoding: gzip", body=b"xx"), id="no-gzip"),
        pytest.param(answer(200, "Content-Encoding: gzip", body=gzip.compress(b"{}")[:-4]), id="half-a-gzip"),
        pytest.param(
            answer(200, "Content-Encoding: gzip, gzip", body=gzip.compress(gzip.compress(b"{}"))), id="gzip-of-gzip"
        ),
        pytest.param(answer(200, "Content-Encoding: deflate", body=zlib.compress(b"{}")), id="deflate"),
        pytest.param([answer(200, body=b"{}", length="500")], id="short"),
        pytest.param([answer(200, "Transfer-Encoding: chunked", body=b"5\r\nab", length=None)], id="short-chunk"),
        pytest.param([answer(200, "Transfer-Encoding: chunked", body=b"zz\r\nab", length=None)], id="no-chunk"),
        pytest.param(answer(200, *["a: b"] * 200), id="many-headers"),
        pytest.param(answer(200, f"a: {'b' * 70000}"), id="a-long-header"),
        pytest.param([b"SSH-2.0\r\n"], id="no-http"),
    ],
)
def test_an_answer_that_is_none(asker, said):
    with raw(lambda head: said) as service, pytest.raises(Unavailable):
        asker.manifest(named(service))


def test_an_error_that_breaks_off_is_told_by_its_status(asker):
    with raw(lambda head: [answer(404, body=b"{}", length="500")]) as service, pytest.raises(NotFound, match="404"):
        asker.manifest(named(service))


def test_what_is_packed_is_unpacked(asker):
    said = answer(200, "Content-Encoding: GZIP", body=gzip.compress(b"{}"))
    with raw(lambda head: said) as service:
        assert asker.manifest(named(service)).data == b"{}"


def test_what_unpacks_to_more_than_a_manifest_has(asker):
    bomb = gzip.compress(bytes(64 << 20), 1)
    said = answer(200, "Content-Encoding: gzip", body=bomb)
    with raw(lambda head: said) as service, pytest.raises(Invalid, match="more than 4194304 bytes"):
        asker.manifest(named(service))


@pytest.mark.parametrize("text", [b'{"tags": 5}', b"[]", b"NaN", b"[" * 100_000, b"\xff"])
def test_tags_that_are_none(asker, text):
    with (
        raw(lambda head: answer(200, body=text)) as service,
        pytest.raises(Invalid, match="something else than a list of tags"),
    ):
        list(asker.tags(named(service)))


def test_more_tags_at_no_place(asker):
    said = answer(200, 'Link: <https://[>; rel="next"', body=b'{"tags": ["a"]}')
    with raw(lambda head: said) as service, pytest.raises(Invalid, match="with a broken URL"):
        list(asker.tags(named(service)))


@pytest.mark.parametrize("lasts", ["NaN", "-Infinity", "1e999", "9" * 400, '"x"', "null"])
def test_a_token_that_lasts_for_no_time(asker, lasts):
    def say(head):
        if head.startswith("GET /token"):
            return answer(200, body=b'{"token": "abc", "expires_in": %s}' % lasts.encode())
        realm = f'WWW-Authenticate: Bearer realm="http://{service.host}/token"'
        return answer(200, body=b"{}") if "Bearer abc" in head else answer(401, realm)

    with raw(say) as service:
        assert asker.manifest(named(service)).data == b"{}"
        assert asker.manifest(named(service)).data == b"{}"
        assert sum(head.startswith("GET /token") for head in service.heads) == 1


def test_what_a_service_redirects_to_names_nobody_who_is_shown_credentials(asker):
    def evil(head):
        if "steal" in head:
            return answer(200, body=b'{"token": "x"}')
        return answer(401, f'WWW-Authenticate: Bearer realm="http://{other.host}/steal"', "WWW-Authenticate: Basic")

    with raw(evil) as other, raw(lambda head: answer(302, f"Location: http://{other.host}/x")) as service:
        with pytest.raises(Denied):
            asker.manifest(named(service), WHO)
        with pytest.raises(MobyError):
            b"".join(asker.blob(named(service), digests.sha256(b"x"), 1, WHO))
        assert other.heads
        assert not [head for head in (*other.heads, *service.heads) if "Authorization" in head or "steal" in head]


def test_a_mirror_whose_answer_is_refused_is_an_error_of_ours(make):
    with raw(lambda head: answer(200, body=b" " * ((4 << 20) + 1))) as mirror:
        asker = make(mirrors={"example.org": (f"http://{mirror.host}",)})
        with pytest.raises(Invalid, match="more than 4194304 bytes"):
            asker.manifest(ImageReference("example.org", "a", "1"))


def test_connections_of_many_hosts_are_not_kept_for_ever(asker):
    spread = (f"http://127.0.{number}.1:1/x" for number in range(200))

    with raw(lambda head: answer(302, f"Location: {next(spread)}")) as service:
        for _ in range(90):
            with pytest.raises(Unavailable):
                asker.manifest(named(service))
    assert len(asker._connections._pools) <= 64


@pytest.mark.parametrize(
    ("source", "url", "may"),
    [
        ("example.org", "https://elsewhere.example/x", True),
        ("example.org", "http://elsewhere.example/x", False),
        ("example.org", "http://named.example/x", True),
        ("example.org", "http://10.1.2.3:5000/x", True),
        ("example.org", "http://127.0.0.1:2375/containers/json", False),
        ("example.org", "http://localhost/x", False),
        ("example.org", "http://[::1]:80/x", False),
        ("127.0.0.1:5000", "http://localhost:5001/x", True),
        ("named.example", "http://127.0.0.1/x", True),
        ("example.org", "http://named.example@elsewhere.example/x", False),
        ("127.0.0.1:5000", "http://127.0.0.1:0/x", False),
        ("127.0.0.1:5000", "file:///etc/passwd", False),
        ("127.0.0.1:5000", "", False),
    ],
)
def test_where_a_service_may_send_to(source, url, may):
    assert Settings(insecure=("named.example", "10.0.0.0/8")).may_lead(source, url) is may


def test_an_error_of_a_token_may_be_anything(asker):
    for told in ({"details": {"a": [1]}}, {"errors": [5]}, {"errors": {}}, [], 5, {"error": "x" * 10_000}):

        def say(head, told=told):
            realm = f'WWW-Authenticate: Bearer realm="http://{service.host}/token"'
            return answer(403, body=json.dumps(told).encode()) if "GET /token" in head else answer(401, realm)

        with raw(say) as service, pytest.raises(Denied, match="gives no token") as caught:
            asker.manifest(named(service))
        assert len(str(caught.value)) < 1000


def test_a_digest_of_an_algorithm_that_proves_nothing(asker):
    for told in ("md5:" + "a" * 32, "sha256:" + "A" * 64, "sha256:", "x"):
        said = answer(200, f"Docker-Content-Digest: {told}", body=b"{}")
        with raw(lambda head, said=said: said) as service, pytest.raises((Invalid, Corrupt)):
            asker.manifest(named(service))
