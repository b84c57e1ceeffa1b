"""Invariant: any bytes are a compose file, or are refused with places in it; what is read is printed and read again.

`python tests/fuzz/fuzz_compose.py -max_total_time=60 CORPUS_FOLDER` runs until the time is up or something is found;
it needs atheris.
"""

import sys
from contextlib import suppress
from pathlib import Path

from moby.errors import Invalid

SEEDS = [
    b"""services:
  a: &a
    image: x:${T:-1}
    ports: ['80:80/udp', 1-2]
    volumes: ['v:/v:ro', ./b:/b]
  b: {<<: *a, command: 'a "b" c', environment: [A, B=1], depends_on: [a]}
volumes: {v: }
""",
    b"""name: n
services:
  a: {build: ., extends: {service: b}, deploy: {replicas: 2}}
  b: {image: y, scale: !reset 1}
""",
    b"""services:
  a: {image: 3, mem_limit: 1.5gb, ulimits: {n: {soft: 1, hard: 2}}, labels: {x: 010}}
""",
    b"""services:
  a: {image: x, healthcheck: {test: y, interval: 1m30s}, secrets: [s], networks: {n: {aliases: [z]}}}
secrets: {s: {environment: S}}
networks: {n: {external: {name: o}}}
---
services: {a: {tty: true}}
""",
]
ENV_SEEDS = [b"export A=1 # c\nB=\"x\\n${A}\"\nC='$A'\nD: e\nF\n", b"A=${B:?no}\n", b"\xef\xbb\xbfA = b\r\n"]
VARIABLES = {"T": "2", "S": "$T"}


def check(data: bytes) -> None:
    """Read the bytes as a compose file, and check what comes of it."""
    from moby_orchestrator.compose.files import rendering
    from moby_orchestrator.compose.files.loading import Source, load
    from moby_orchestrator.compose.files.normal import normal
    from moby_orchestrator.compose.files.reading import as_project

    source = Source(Path("/nowhere"), VARIABLES)
    try:
        tree = normal(load((("F", data),), source), "p", VARIABLES)
        first = as_project(tree, "p", Path("/nowhere"), ("F",), VARIABLES)
    except Invalid as error:
        lines = data.count(b"\n") + data.count(b"\r") + 1
        for each in error.problems:
            assert each.message
            assert each.where is None or each.where.source != "F" or each.where.line <= lines + 1
        return
    text = rendering.to_yaml(first)
    rendering.to_json(first)
    with suppress(Invalid):  # as docker compose's, a variable without a name is printed, and not read
        again = normal(load((("G", text.encode()),), source), "p", VARIABLES)
        assert rendering.to_yaml(as_project(again, "p", Path("/nowhere"), ("G",), VARIABLES)) == text


def check_variables(data: bytes) -> None:
    """Read the bytes as a file of variables."""
    from moby_orchestrator.compose.files.env_file import parse

    try:
        found = parse(data.decode(errors="replace"), "F", VARIABLES.get)
    except Invalid as error:
        assert error.problems
    else:
        assert all(isinstance(each, str) for each in found.values())


if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports():
        from moby_orchestrator.compose.files import loading  # noqa: F401
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
