"""Tokens of services that mean ill: how long they may be, and how many are kept."""

import json

import pytest
from moby_image_registry.distribution.challenges import Challenge
from moby_image_registry.distribution.tokens import Tokens

from moby.errors import Invalid
from moby.surroundings import SystemClock

ASKED = (Challenge("bearer", {"realm": "https://evil.invalid/token"}),)


def tokens(text):
    answer = json.dumps({"token": text, "expires_in": 3600}).encode()
    return Tokens(lambda url, headers, form: (200, answer), lambda host, url: True, SystemClock())


def test_just_the_last_are_kept():
    """Whoever asks for images chooses of which repositories there are some."""
    found = tokens("x")
    for number in range(2000):
        assert found.answer("evil.invalid", f"repository:{number}:pull", None, ASKED) == "Bearer x"
    kept = [each for each in range(2000) if found.known("evil.invalid", f"repository:{each}:pull", None)]
    assert kept == list(range(2000 - len(kept), 2000))
    assert 100 < len(kept) < 1000


def test_one_that_is_longer_than_any_is_none():
    assert tokens("x" * 60_000).answer("evil.invalid", "", None, ASKED)
    with pytest.raises(Invalid, match="no token"):
        tokens("x" * 100_000).answer("evil.invalid", "", None, ASKED)
