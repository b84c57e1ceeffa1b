"""libseccomp beside ours: verdicts of its filters, made as runc makes them, over the same profiles and calls.

Where several rules of a call have conditions on different arguments, or are of different kinds, libseccomp loses some
of them (its tree of comparisons doesn't come back from a branch that failed half-way), so those aren't compared; nor
are machines of the other byte order, for which it writes some returns in the wrong one.
"""

import random

import libseccomp
import pytest
from seccomp_machine import Call, verdict
from seccomp_profiles import COMMON, FAMILIES, arguments, call, condition

from moby.host.capabilities import NAMES
from moby.oci.seccomp.architectures import ARCHITECTURES, call_numbers
from moby.oci.seccomp.compiler import compiled
from moby.oci.seccomp.default import default_profile
from moby.oci.seccomp.profile import ERRNO

pytestmark = pytest.mark.skipif(
    libseccomp.library() is None, reason="libseccomp.so.2 is not there; `tools/peers runc` unpacks it"
)
ENOSYS = ERRNO | 38
X86_64 = ARCHITECTURES["X86_64"]
BY_FAMILY = [pytest.param(each, id=each[0]) for each in FAMILIES if ARCHITECTURES[each[0]].little]


def rules(chance, pool, operators):
    """Return rules of which at most one of a call has conditions, unless all are equalities of one argument."""
    found = []
    for name in pool:
        action = chance.choice(("ALLOW", "LOG", "TRAP", "KILL_PROCESS", "NOTIFY"))
        kind = chance.randrange(4)
        if kind == 0:
            found.append({"names": [name], "action": f"SCMP_ACT_{action}"})
        elif kind == 1:
            conditions = [{**condition(chance, operators), "index": index} for index in chance.sample(range(6), 2)]
            found.append({"names": [name], "action": f"SCMP_ACT_{action}", "args": conditions})
        elif kind == 2:
            equal = [{**condition(chance, ["EQ"]), "index": 3} for _ in range(4)]
            found += [{"names": [name], "action": f"SCMP_ACT_{action}", "args": [each]} for each in equal]
    chance.shuffle(found)
    return found


def theirs(program, data, native, found):
    """Return libseccomp's verdict, and after it runc's about calls that are newer than the profile."""
    architecture = None
    for name in {native, *(each.removeprefix("SCMP_ARCH_") for each in data["architectures"])}:
        each = ARCHITECTURES[name]
        high = found.number >= 0x40000000
        if each.token == found.token and (name not in ("X86_64", "X32") or high == (name == "X32")):
            architecture = each
    if architecture is not None:
        table = call_numbers(architecture)
        known = [table[name] for rule in data["syscalls"] for name in rule["names"] if name in table]
        if found.number in known:
            return verdict(program, found)
        known = [each for each in known if each - architecture.base < 0xF0000]
        if known and found.number > max(known):
            return ENOSYS
    return verdict(program, found)


@pytest.mark.slow
@pytest.mark.parametrize("family", BY_FAMILY)
def test_profiles_at_random(family):
    chance = random.Random(family[0])
    native = ARCHITECTURES[family[0]]
    numbers = [set(call_numbers(ARCHITECTURES[each])) for each in family]
    # libseccomp looks a name up on the machine that it runs on, which knows none of some other machines.
    shared = sorted(
        each for each in set.union(*numbers) & set(call_numbers(X86_64)) if libseccomp.number("X86_64", each) > 0
    )
    for _ in range(25):
        pool = list(dict.fromkeys((*chance.sample(shared, 12), *COMMON)))
        data = {
            "defaultAction": f"SCMP_ACT_{chance.choice(('ERRNO', 'KILL'))}",
            "architectures": [f"SCMP_ARCH_{each}" for each in family if chance.random() < 0.7],
            "listenerPath": "/run/agent.sock",
            "syscalls": rules(chance, pool, ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")),
        }
        ours, peer = compiled(data, native).program, libseccomp.program(data, native=native.name)
        for _ in range(60):
            each = call(chance, family, data)
            assert verdict(ours, each) == theirs(peer, data, native.name, each), (data, each)


@pytest.mark.slow
@pytest.mark.parametrize("capabilities", [(), ("CAP_SYS_ADMIN",), tuple(NAMES)], ids=["none", "admin", "all"])
@pytest.mark.parametrize("family", BY_FAMILY)
def test_the_default_profile(family, capabilities):
    chance = random.Random(family[0])
    native = ARCHITECTURES[family[0]]
    data = default_profile(native, capabilities, (6, 12))
    ours, peer = compiled(data, native).program, libseccomp.program(data, native=native.name)
    for name in family:
        architecture = ARCHITECTURES[name]
        for number in (*call_numbers(architecture).values(), architecture.base + 600):
            each = Call(number, architecture.token, arguments(chance, architecture, data))
            assert verdict(ours, each) == theirs(peer, data, native.name, each), each
    for name, values in {"socket": range(50), "personality": (0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 9)}.items():
        for value in values:
            each = Call(call_numbers(native)[name], native.token, (value, 0, 0, 0, 0, 0))
            assert verdict(ours, each) == theirs(peer, data, native.name, each), each
