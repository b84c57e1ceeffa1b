import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.contracts.types import Digest, ImageReference
from moby.errors import Invalid
from moby.oci.reference import as_name, familiar, familiar_name, parse

HEX = "0123456789abcdef" * 4
DIGEST = Digest("sha256", HEX)


@pytest.mark.parametrize(
    ("text", "expected", "short"),
    [
        pytest.param("alpine", ImageReference("docker.io", "library/alpine", "latest"), "alpine:latest", id="official"),
        pytest.param("alpine:3", ImageReference("docker.io", "library/alpine", "3"), "alpine:3", id="tag"),
        pytest.param("me/app", ImageReference("docker.io", "me/app", "latest"), "me/app:latest", id="user"),
        pytest.param(
            "docker.io/alpine", ImageReference("docker.io", "library/alpine", "latest"), "alpine:latest", id="whole"
        ),
        pytest.param(
            "index.docker.io/me/app", ImageReference("docker.io", "me/app", "latest"), "me/app:latest", id="legacy"
        ),
        pytest.param(
            "docker.io/library/a", ImageReference("docker.io", "library/a", "latest"), "a:latest", id="library"
        ),
        pytest.param(
            "library/x/y", ImageReference("docker.io", "library/x/y", "latest"), "library/x/y:latest", id="deep"
        ),
        pytest.param("ghcr.io/a/b:x", ImageReference("ghcr.io", "a/b", "x"), "ghcr.io/a/b:x", id="host"),
        pytest.param("localhost/a", ImageReference("localhost", "a", "latest"), "localhost/a:latest", id="localhost"),
        pytest.param(
            "localhost:5000/a", ImageReference("localhost:5000", "a", "latest"), "localhost:5000/a:latest", id="port"
        ),
        pytest.param("Host/a", ImageReference("Host", "a", "latest"), "Host/a:latest", id="upper-case-host"),
        pytest.param("[::1]:5000/a", ImageReference("[::1]:5000", "a", "latest"), "[::1]:5000/a:latest", id="ipv6"),
        pytest.param("host:5000", ImageReference("docker.io", "library/host", "5000"), "host:5000", id="tag-not-port"),
        pytest.param(f"a@{DIGEST}", ImageReference("docker.io", "library/a", "", DIGEST), f"a@{DIGEST}", id="digest"),
        pytest.param(
            f"a:1@{DIGEST}", ImageReference("docker.io", "library/a", "1", DIGEST), f"a:1@{DIGEST}", id="both"
        ),
        pytest.param(
            "docker.io/localhost/a",
            ImageReference("docker.io", "localhost/a", "latest"),
            "docker.io/localhost/a:latest",
            id="kept-domain",
        ),
        pytest.param(
            "docker.io/a.b/c",
            ImageReference("docker.io", "a.b/c", "latest"),
            "docker.io/a.b/c:latest",
            id="dotted-user",
        ),
        pytest.param(
            "a-b__c.d", ImageReference("docker.io", "library/a-b__c.d", "latest"), "a-b__c.d:latest", id="separators"
        ),
    ],
)
def test_parses_as_docker_does(text, expected, short):
    assert parse(text) == expected
    assert familiar(expected) == short
    assert parse(short) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "is no repository name", id="empty"),
        pytest.param("Alpine", "must be lower case", id="upper"),
        pytest.param("a b", "is no repository name", id="space"),
        pytest.param("a//b", "is no repository name", id="empty-component"),
        pytest.param("a___b", "is no repository name", id="three-underscores"),
        pytest.param("-a", "is no repository name", id="leading-dash"),
        pytest.param("a:", "is no tag", id="empty-tag"),
        pytest.param("a:.x", "is no tag", id="tag-starts-with-dot"),
        pytest.param("a:" + "x" * 129, "is no tag", id="long-tag"),
        pytest.param("a\n", "is no repository name", id="newline"),
        pytest.param("a:x\n", "is no tag", id="newline-in-tag"),
        pytest.param("ä", "is no repository name", id="umlaut"),
        pytest.param("a:٣", "is no tag", id="other-digits"),
        pytest.param("a@", "is no digest", id="empty-digest"),
        pytest.param("a@sha256:12", "must have 64", id="short-digest"),
        pytest.param("-x.com/a", "is no host name", id="host"),
        pytest.param("x.com:port/a", "is no host name", id="port"),
        pytest.param("x.com/", "is no repository name", id="host-alone"),
        pytest.param(HEX, "is an image id", id="id"),
        pytest.param("a/" * 200 + "a", "more than 255", id="long-name"),
        pytest.param("a" * 5000, "characters long", id="long"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(Invalid, match=message):
        parse(text)


@pytest.mark.parametrize("text", ["Alpine", "Alpine:V1", "x.com/Team/App:V1", f"Alpine@sha256:{HEX}"])
def test_proposes_small_letters(text):
    with pytest.raises(Invalid) as caught:
        parse(text)
    proposed = caught.value.hint.removeprefix("try ")
    assert proposed.lower() == text.lower()
    parse(proposed)


def test_can_leave_the_tag_out():
    assert parse("alpine", default_tag=False) == ImageReference("docker.io", "library/alpine")
    assert familiar(parse("alpine", default_tag=False)) == "alpine"


def test_a_name_like_a_digest_s_algorithm_is_given_to_no_image():
    for text in ("sha256", "sha256:abc", "docker.io/library/sha256:1"):
        with pytest.raises(Invalid, match="refusing to create an ambiguous tag using digest algorithm as name"):
            as_name(parse(text))
    assert str(as_name(parse("x/sha256"))) == "docker.io/x/sha256:latest"


def test_a_name_like_an_id_keeps_its_domain():
    reference = ImageReference("docker.io", f"library/{HEX}")
    assert familiar_name(reference) == f"library/{HEX}"
    assert parse(familiar(reference), default_tag=False) == reference


NAMES = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,2})[a-z0-9]+)?", fullmatch=True)
DOMAINS = st.sampled_from(["docker.io", "ghcr.io", "localhost", "localhost:5000", "Host", "[::1]:1", "a.b-c.d"])
WHOLE = st.builds(
    ImageReference,
    DOMAINS,
    st.lists(NAMES, min_size=2, max_size=4).map("/".join),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True),
    st.sampled_from([None, DIGEST]),
)


@given(WHOLE)
def test_every_form_parses_back(reference):
    assert parse(str(reference)) == reference
    assert parse(familiar(reference)) == reference


@given(st.text() | st.text(alphabet="aA0.:/@-_[]\n"))
def test_anything_is_a_reference_or_invalid(text):
    try:
        reference = parse(text)
    except Invalid:
        return
    assert parse(str(reference)) == reference
    assert parse(familiar(reference)) == reference
