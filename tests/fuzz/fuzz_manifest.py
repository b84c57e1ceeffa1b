"""Invariant: from any bytes, the manifest loader gives an assembly or problems, and raises nothing.

`python tests/fuzz/fuzz_manifest.py -max_total_time=60 CORPUS_FOLDER` runs until the time is up or something is found;
it needs atheris. The first byte chooses how many of the last lines are flags.
"""

import sys
import tempfile
from pathlib import Path

MOST_FLAGS = 3


def split(data: bytes) -> tuple[bytes, list[str]]:
    """Return a manifest's bytes and the flags that go with it."""
    flags = data[0] % MOST_FLAGS if data else 0
    lines = data[1:].split(b"\n")
    kept = len(lines) - min(flags, len(lines))
    return b"\n".join(lines[:kept]), [line.decode("utf-8", "surrogateescape") for line in lines[kept:]]


def check(data: bytes, path: Path) -> None:
    """Read the bytes as a manifest at this path, and check what comes of it."""
    from moby.manifest import read

    text, flags = split(data)
    path.write_bytes(text)
    reading = read(path, sets=flags, environ={})
    assert reading.assembly is not None or reading.problems
    for problem in reading.problems:
        assert problem.message
        if problem.where is not None:
            assert problem.where.line >= 0
            assert problem.where.column >= 0


def main() -> None:
    """Fuzz under atheris, with the arguments of libFuzzer."""
    import atheris

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "manifest.yaml")
        with atheris.instrument_imports(include=["moby.manifest", "yaml"]):
            import moby.manifest  # noqa: F401 - what is imported here is what coverage guides
        atheris.Setup(sys.argv, lambda data: check(data, path))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
