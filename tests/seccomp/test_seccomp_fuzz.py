"""The compiler against the kernel for a share of MOBY_FUZZ_SECONDS; MOBY_FUZZ_SEED repeats a run.

Invariant: what the kernel does with a call, what the machine of these tests says of the program, and what the profile
means in plain words are the same.
"""

import os
import random
import time

import pytest
from seccomp_kernel import needs_x86_64
from seccomp_machine import check, verdict
from seccomp_profiles import FAMILIES, call, meant, profile
from test_seccomp_kernel import compare

from moby.oci.seccomp.architectures import ARCHITECTURES
from moby.oci.seccomp.compiler import compiled

pytestmark = pytest.mark.fuzz

SECONDS = float(os.environ.get("MOBY_FUZZ_SECONDS", "20")) * 0.05
SEED = int(os.environ.get("MOBY_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def for_a_while(name, step):
    """Take steps by chance; a mistake tells how to meet it again."""
    chance = random.Random(f"{SEED} {name}")
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        count += 1
        try:
            step(chance)
        except BaseException as error:
            error.add_note(f"MOBY_FUZZ_SEED={SEED}, step {count} of {name}")
            raise
    print(f"MOBY_FUZZ_SEED={SEED}: {count} steps of {name}")


@needs_x86_64
def test_the_kernel_has_the_last_word():
    for_a_while("kernel", compare)


def test_programs_of_every_machine():
    def step(chance):
        family = chance.choice(FAMILIES)
        native = ARCHITECTURES[family[0]]
        order = "<" if native.little else ">"
        data = profile(chance, family, most_rules=30)
        program = compiled(data, native).program
        check(program, order)
        for _ in range(30):
            each = call(chance, family, data)
            assert verdict(program, each, order) == meant(data, native.name, each), (data, each)

    for_a_while("machine", step)
