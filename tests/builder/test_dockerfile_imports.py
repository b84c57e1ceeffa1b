"""An engine that never builds has nothing of the builder but its front door."""

import subprocess
import sys

_PROGRAM = """
import sys, tempfile
from pathlib import Path
from moby.contracts.ambient import Place
from moby_builder.dockerfile.plugin import Config, make

with tempfile.TemporaryDirectory() as folder:
    place = Place(*[Path(folder, each) for each in ("state", "run", "cache")])
    parts = dict.fromkeys(
        ("images", "content", "snapshotter", "supervisor", "networks", "image_registry", "metadata", "clock", "log")
    )
    with make(Config(), **parts, place=place):
        inside = [each for each in sys.modules if each.startswith("moby_builder.dockerfile.")]
        print(*sorted(each.removeprefix("moby_builder.dockerfile.") for each in inside))
    import moby_builder.dockerfile.workshop
    print(*sorted({"urllib3", "asyncio", "ssl", "grpclib", "google.protobuf", "h2"} & set(sys.modules)))
"""


def test_what_is_imported_before_somebody_builds():
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.splitlines() == ["parts plugin service", ""]
