"""What the log tells of a call's target."""

import pytest
from moby_frontend.docker.targets import shown


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/info", "/info"),
        ("/info?", "/info?"),
        ("/build?q=1&buildargs=%7B%22PW%22%3A%22hunter2%22%7D", "/build?q=1&buildargs=..."),
        ("/build?build%61rgs=hunter2&cachefrom=&labels", "/build?build%61rgs=...&cachefrom=&labels"),
        ("/build?remote=http%3A%2F%2Fu%3Ahunter2%40h", "/build?remote=..."),
        ("/images/create?fromImage=busybox&tag=1", "/images/create?fromImage=busybox&tag=1"),
        ("/images/create?fromImage=http%3A%2F%2Fu%3Ahunter2%40h", "/images/create?fromImage=..."),
        ("/images/create?tag=http://u:hunter2@h", "/images/create?tag=..."),
        ("http://u:hunter2@h/info", "http://u:xxxxx@h/info"),
    ],
)
def test_values_that_may_be_secret_are_left_out(target, told):
    assert shown(target) == told


def test_the_log_has_none_of_them(served):
    served.call("POST", "/nothing?buildargs=hunter2&all=1")
    served.call("POST", "/images/create?fromSrc=http://u:hunter2@127.0.0.1:1/x")
    targets = {message: fields["target"] for _, message, fields in served.log.lines}
    assert targets == {
        "call": "/v1.47/images/create?fromSrc=...", "call failed": "/v1.47/images/create?fromSrc=...",
        "call refused": "/v1.47/nothing?buildargs=...&all=1",
    }  # fmt: skip
    assert "hunter2" not in repr(served.log.lines)
