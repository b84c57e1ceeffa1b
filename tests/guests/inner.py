"""Tests of the checkout that are run inside a guest, and what became of them."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import frozen
from guests.machine import CHECKOUT, IN_GUEST, RESULTS, Ended, Guest, Job

NEWEST, OLDEST = ".venv", ".cache/oldest"
"""Environments with the project's Python, and with the oldest that is served (tools/oldest)."""
_SHOWN = 12000


@frozen
class Inner:
    """Arguments of pytest, whom it runs as, and in which environment of the checkout."""

    name: str
    arguments: Sequence[str]
    ordinary: bool = False
    environment: str = NEWEST

    def job(self) -> Job:
        """Return the job for a guest; skips where the environment could not be made."""
        python = Path(self.environment, "bin/python")
        if not (CHECKOUT / python).exists():
            pytest.skip(f"{self.environment} is not there: tools/oldest makes it, where this machine has such a Python")
        command = [
            str(IN_GUEST / python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=120",
            f"--junitxml={RESULTS / self.name}.xml", *self.arguments,
        ]  # fmt: skip
        return Job(self.name, command, ordinary=self.ordinary, delegated=self.ordinary)


@frozen
class Outcome:
    """Tests inside a guest by what became of them; a failure with its text, a skip with its reason."""

    passed: int
    failed: Sequence[str]
    skipped: Sequence[tuple[str, str]]
    """Each with its reason first."""


def outcome(name: str, ended: Ended) -> Outcome:
    """Read what pytest wrote; fails where it wrote nothing."""
    report = ended.folder / f"{name}.xml"
    if not report.exists():
        pytest.fail(f"{name}: pytest ended with {ended.code} and no report:\n{ended.output[-_SHOWN:]}")
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(report).iter("testcase"):
        test = f"{case.get('classname')}::{case.get('name')}"
        bad = [*case.iter("failure"), *case.iter("error")]
        skip = case.find("skipped")
        if bad:
            failed.append(f"____ {test}\n{bad[0].text}")
        elif skip is not None:
            skipped.append((str(skip.get("message")), case.get("name", "")))
        else:
            passed += 1
    return Outcome(passed, failed, skipped)


def _by_reason(skipped: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for reason, test in skipped:
        found.setdefault(reason, []).append(test)
    return sorted(found.items())


def _shown(failed: Sequence[str]) -> str:
    """Return what is shown of failures: all of each, or where that is too much what begins it, after all names."""
    texts = "\n".join(failed)
    if len(texts) <= _SHOWN:
        return texts
    names = "\n".join(each.partition("\n")[0] for each in failed)
    return f"{names}\n{texts[:_SHOWN]}"


def run(guest: Guest, folder: Path, inner: Sequence[Inner], timeout_s: float, notes: list[str]) -> None:
    """Run tests in a guest; fails with what failed inside, and notes what was skipped there."""
    ended = guest.run(folder, [each.job() for each in inner], timeout_s)
    failed = []
    for each in inner:
        found = outcome(each.name, ended[each.name])
        notes.append(f"{guest.name} {each.name}: {found.passed} passed, {len(found.skipped)} skipped")
        notes += [f"  {len(tests)} skipped: {reason} ({tests[0]} ...)" for reason, tests in _by_reason(found.skipped)]
        if found.failed or ended[each.name].code or not found.passed:
            failed.append(
                f"guest {guest.name}, {each.name}: {len(found.failed)} failed, {found.passed} passed, its code "
                f"{ended[each.name].code}\n{_shown(found.failed) or ended[each.name].output[-_SHOWN:]}"
            )
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)
