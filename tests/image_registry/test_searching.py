"""A service that can be searched, and one that can't: Debian's."""

import json

import pytest

from moby.contracts.image_registry import Credentials, Match
from moby.errors import Invalid, Unavailable, Unsupported

FOUND = {"num_results": 2, "results": [
    {"name": "box", "description": "Small", "star_count": 7, "is_official": True, "is_automated": False},
    {"name": "me/box", "description": None, "star_count": None, "is_automated": True},
]}  # fmt: skip


def test_it_finds(client, faulty):
    faulty.faults.search = json.dumps(FOUND).encode()
    assert client.search(faulty.host, "a box/&", Credentials("me", "secret"), limit=5) == (
        Match("box", "Small", 7, is_official=True), Match("me/box", is_automated=True),
    )  # fmt: skip
    assert [each[:2] for each in faulty.faults.seen] == [("GET", "/v1/search?q=a+box%2F%26&n=5")]
    assert len(client.search(faulty.host, "a", limit=1)) == 1


def test_who_asks_is_said_where_that_is_wanted(client, faulty):
    faulty.faults.search, faulty.faults.token = json.dumps(FOUND).encode(), "abc"
    assert len(client.search(faulty.host, "box")) == 2


def test_one_that_has_none(client, service):
    with pytest.raises(Unsupported, match=r"^Unexpected status code 404$"):
        client.search(service, "box")


@pytest.mark.parametrize("domain", ["..", "[a.b", "a.b c", "me@a.b", "a.b?x", "a:b:c", "", "me", "me/a.b"])
def test_what_is_no_host(client, domain):
    with pytest.raises(Invalid, match=r"image reference|digest|is no image registry's host"):
        client.search(domain, "box")


def test_one_that_cant_answer_now(make, faulty):
    faulty.faults.status, faulty.faults.statuses = 503, 1
    with pytest.raises(Unavailable, match="503"):
        make(attempts=1).search(faulty.host, "box")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b'{"results": [1]}', b'{"results": [{}]}', b'{"results": 1}',
     b'{"results": [{"name": "a", "star_count": 1e999}]}'],
)  # fmt: skip
def test_an_answer_that_makes_no_sense(client, faulty, text):
    faulty.faults.search = text
    with pytest.raises(Invalid, match="answers a search with no list"):
        client.search(faulty.host, "box")
