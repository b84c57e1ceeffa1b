"""What a bare machine may lack: its tests are skipped there, and name the guest that has it."""

import os
from typing import NoReturn

import pytest

GUEST = os.environ.get("MOBY_GUEST", "")
"""The guest that this runs in, if it is one."""


def lacks(what: str, *guests: str) -> NoReturn:
    """Skip a test of what this host doesn't have; fail it in a guest that is there to have it."""
    if GUEST in guests:
        pytest.fail(f"the guest {GUEST} is there for tests that need {what}, which it doesn't have")
    where = f"runs in the guest {' or '.join(guests)}" if guests else "no guest has it"
    pytest.skip(f"no {what} on this host; {where}")


def needs(there: object, what: str, *guests: str) -> None:
    """Go on with a test where what it needs is there; else as `lacks`."""
    if not there:
        lacks(what, *guests)
