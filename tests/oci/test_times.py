"""Times as docker and configs of images have them."""

import pytest

from moby.oci.times import fixed, nano

SECOND = 1704164645 * 10**9


@pytest.mark.parametrize(
    ("time_ns", "short", "long"),
    [
        (SECOND, "2024-01-02T03:04:05Z", "2024-01-02T03:04:05.000000000Z"),
        (SECOND + 120_000_000, "2024-01-02T03:04:05.12Z", "2024-01-02T03:04:05.120000000Z"),
        (10_000000001, "1970-01-01T00:00:10.000000001Z", "1970-01-01T00:00:10.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
    ],
)
def test_a_time_is_written_without_its_last_zeros_or_with_all(time_ns, short, long):
    assert (nano(time_ns), fixed(time_ns)) == (short, long)
