"""Every parser of foreign bytes, under MOBY_FUZZ_SECONDS in all; MOBY_FUZZ_SEED repeats a run."""

import os
import random
import time
from pathlib import Path

import pytest
from fuzz_mutations import mutated
from fuzz_parsers import TARGETS

pytestmark = pytest.mark.fuzz

SECONDS = float(os.environ.get("MOBY_FUZZ_SECONDS", "20"))
SHARE_S = SECONDS * 0.7 / len(TARGETS)
"""The rest of the time is for the tests of manifests by hypothesis, and for what comes with each target."""
SEED = int(os.environ.get("MOBY_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    for each in (*TARGETS[name].seeds, b""):
        TARGETS[name].check(each, tmp_path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("lock", b'"\\ud800"', id="half-a-character"),
        pytest.param("lock", b"[" * 100_000, id="nested-lock"),
        pytest.param("runtime_config", b'{"ociVersion": "1.2.0", "root": {"path": "' + b"a" * 5000 + b'"}}', id="long"),
        pytest.param("runtime_config", b"[" * 100_000, id="nested-config"),
        pytest.param("runtime_record", b'".."', id="record-of-text"),
        pytest.param("settings", b"a = " + b"9" * 5000, id="huge-number"),
        pytest.param("settings", b"a = " + b"[" * 5000, id="nested-settings"),
        pytest.param("plugin_facts", b'{"schema": 1, "components": [{}]}', id="no-facts"),
        pytest.param("host_facts", b'{"system": ["x"]}', id="list-for-a-section"),
        pytest.param("host_facts", b'{"kernel": {"clone3": {}}}', id="probe-without-an-answer"),
        pytest.param("host_facts", b'{"binary": {"sh": {"version": "' + b"9" * 5000 + b'"}}}', id="long-version"),
    ],
)
def test_what_was_found_before(name: str, data: bytes, tmp_path: Path) -> None:
    TARGETS[name].check(data, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_parser(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    chance = random.Random(f"{SEED} {name}")
    end = time.monotonic() + SHARE_S
    count = 0
    while time.monotonic() < end:
        data = mutated(chance.choice(target.seeds), chance)
        count += 1
        try:
            target.check(data, tmp_path)
        except BaseException as error:
            error.add_note(f"MOBY_FUZZ_SEED={SEED}, input {count} of {name}: {data[:2000]!r}")
            raise
    print(f"MOBY_FUZZ_SEED={SEED}: {count} inputs of {name}")
