"""Moments as clients read them."""

import pytest
from moby_frontend.docker.times import ZERO, rfc3339


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, ZERO),
        (-1, "1969-12-31T23:59:59Z"),
        (253402300799, "9999-12-31T23:59:59Z"),
        (253402300800, "9999-12-31T23:59:59Z"),
        (1 << 62, "9999-12-31T23:59:59Z"),
        (-(1 << 62), "1000-01-01T00:00:00Z"),
    ],
)
def test_a_file_of_any_time_has_one_that_can_be_read(seconds, shown):
    """Containers choose those of their files, on tmpfs any of 64 bits."""
    assert rfc3339(seconds * 10**9) == shown
