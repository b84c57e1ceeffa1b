"""What `support` hides of texts, however they are spelled, and what it leaves."""

import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby.engine.redaction import redacted

SECRET = "hunter2"
NAMES = ("DB_PASSWORD", "pwd", "api-key", "private_key", "X-Registry-Auth", "token", "client_secret", "PASS", "apiKey")
QUOTED = (
    lambda name, value: json.dumps({"x": 1, name: value, "y": 2}),
    lambda name, value: json.dumps({"Env": [f"{name}={value}", "A=b"]}),
    lambda name, value: json.dumps(["join", f"--{name}", value, "host"]),
    lambda name, value: f"{name}={json.dumps(value)} y=2",
)
"""Where a value may have anything in it."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password=hunter2 a=1", "password=(hidden) a=1"),
        ('target="/build?buildargs=%7B%22DB_PASSWORD%22%3A%22hunter2%22%7D&t=x"',
         'target="/build?buildargs={"DB_PASSWORD":(hidden)}&t=x"'),
        ("remote=http%3A%2F%2Fu%3Ahunter2%40h%2Fx", "remote=http://(hidden)@h/x"),
        ("remote=http%253A%252F%252Fu%253Ahunter2%2540h", "remote=http://(hidden)@h"),
        ("http://u:a%2Fhunter2@h/x", "http://(hidden)@h/x"),
        ("http://u:a/hunter2@h/x", "http://(hidden)@h/x"),
        ("http://u:p@hunter2@h/x", "http://(hidden)@h/x"),
        ("http://hunter2@h/x", "http://(hidden)@h/x"),
        ("X-Registry-Auth: hunter2==", "X-Registry-Auth: (hidden)"),
        ("X-Registry-Config: hunter2", "X-Registry-Config: (hidden)"),
        ("Authorization: Basic hunter2 next", "Authorization: Basic (hidden) next"),
        ("with Bearer hunter2", "with Bearer (hidden)"),
        ("pwd=hunter2", "pwd=(hidden)"),
        ("api-key: hunter2", "api-key: (hidden)"),
        ("swarm join --token hunter2 host:2377", "swarm join --token (hidden) host:2377"),
        ("private_key=hunter2", "private_key=(hidden)"),
        ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
         "-----BEGIN RSA PRIVATE KEY-----(hidden)-----END RSA PRIVATE KEY-----"),
        ('error="{\\"password\\": \\"a hunter2\\"}" b=1', 'error="{\\"password\\": (hidden)}" b=1'),
        ("password='a hunter2", "password=(hidden)"),
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "author=me tls_authority=/etc/ca.pem bypass=1 compass: north",
        "https://host:8080/path?a=b git@host ssh://host/x",
        "100% of key=a monkey: b, keyboard",
        "a passing test, an authority that passes",
    ],
)
def test_all_else_is_left(text: str) -> None:
    assert redacted(text) == text


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(NAMES),
    st.sampled_from(QUOTED),
    st.integers(0, 2),
    st.integers(0, 3),
)
def test_no_spelling_lets_it_out(before: str, after: str, name: str, spell, texts: int, urls: int) -> None:  # type: ignore[no-untyped-def]
    """JSON in JSON, all of it quoted in a URL, that again in a URL's."""
    text = spell(name, f"{before}{SECRET}{after}")
    for _ in range(texts):
        text = json.dumps({"message": text})
    for _ in range(urls):
        text = f"/x?a={quote(text)}"
    assert SECRET not in redacted(f"warning frontend/docker: call target={text} client=1")


def test_long_lines_take_no_time() -> None:
    began = time.monotonic()
    for unit in ("-", '\\"', "a-", "://", "--token", "password: ", "%25", "-----BEGIN PRIVATE KEY-----", "token=["):
        redacted(unit * 20_000)
    assert time.monotonic() - began < 60
