"""Memory that a process has freed and the C library keeps."""

import subprocess
import sys

import pytest

from moby.host.syscalls import libc

pytestmark = pytest.mark.skipif(not hasattr(libc, "mallopt"), reason="this C library has no mallopt; runs with glibc")

CODE = """
from moby.host.memory import keep_little

def anonymous_kib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])

{call}
before = anonymous_kib()
for _ in range(3):
    bytearray(3 << 20)
blocks = [bytearray(2900 << 10), bytearray(2900 << 10)]
assert anonymous_kib() - before > 5000
del blocks
print(anonymous_kib() - before)
"""


@pytest.mark.parametrize(("call", "least", "most"), [("", 5000, 7000), ("keep_little()", -1000, 2300)])
def test_what_is_kept(call: str, least: int, most: int) -> None:
    command = [sys.executable, "-c", CODE.format(call=call)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert least < int(done.stdout) < most
