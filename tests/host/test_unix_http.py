"""What an engine's answers over its socket come to."""

import pytest

from moby.errors import Conflict, Denied, MobyError, NotFound
from moby.host.unix_http import refusal


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, b'{"message": "No such image: x"}', NotFound, "No such image: x"),
        (403, b'{"message": "not you"}', Denied, "not you"),
        (409, b"in use\n", Conflict, "in use"),
        (500, b"", MobyError, "status 500"),
        (500, b'["message"]', MobyError, '["message"]'),
    ],
)
def test_a_refusal_is_the_engines_own_error(status, body, kind, words):
    found = refusal(status, body)
    assert (type(found), found.message) == (kind, f"Error response from daemon: {words}")
    assert refusal(status, body, "").message == words
