"""The verb doctor: what a host lacks, and which other provider would fit it."""

import json
from pathlib import Path

import pytest

from moby.host import facts as host
from moby.host.facts import Probe

pytestmark = pytest.mark.usefixtures("installed")
LACKS = {"schema": 1, "binary": {}}
HAS = {"schema": 1, "binary": {"runc-of-tests": {"path": "/bin/runc", "version": "1.2"}}}
UNMET = "runtime/runc\tbinary runc-of-tests>=1.1\tUNMET\trunc-of-tests isn't on PATH\tapt install runc-pack\n"
OFFER = "or change the assembly: write `native` instead of `runc` at engine.yaml:5:12\n"


@pytest.fixture(params=["host", "facts"])
def target(request: pytest.FixtureRequest, folder: Path) -> list[str]:
    """This host, which has no such binary, and the same as facts."""
    (folder / "lacks.json").write_text(json.dumps(LACKS))
    return [] if request.param == "host" else ["--target", "lacks.json"]


def test_what_is_unmet_and_another_provider_that_fits(moby, engine: Path, target: list[str]) -> None:
    done = moby("doctor", "engine.yaml", *target)
    assert (done.code, done.out) == (3, UNMET)
    assert OFFER in done.err


def test_the_offer_works(moby, engine: Path) -> None:
    engine.write_text(engine.read_text().replace("runc", "native"))
    assert moby("doctor", engine).code == 0


def test_all_of_it_as_json(moby, engine: Path, target: list[str]) -> None:
    done = moby("doctor", "engine.yaml", *target, "--json")
    data = json.loads(done.out)
    assert (done.code, done.err) == (3, "")
    assert data["checks"] == [
        {
            "component": "runtime/runc",
            "need": "binary runc-of-tests>=1.1",
            "ok": False,
            "detail": "runc-of-tests isn't on PATH",
            "fix": "apt install runc-pack",
            "policy": "required",
        }
    ]
    assert "write `native` instead of `runc` at engine.yaml:5:12" in data["fixes"]


def test_a_host_that_has_all(moby, engine: Path, folder: Path) -> None:
    (folder / "has.json").write_text(json.dumps(HAS))
    done = moby("doctor", engine, "--target", "has.json")
    assert (done.code, done.err) == (0, "")
    assert done.out == "runtime/runc\tbinary runc-of-tests>=1.1\tok\t/bin/runc 1.2\t\n"


def test_this_host_is_asked_for_just_what_is_needed(moby, engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def probe(*need: str, package: str) -> Probe:
        asked.append((*need, package))
        return Probe(True, "there")

    monkeypatch.setattr(host, "probe", probe)
    assert moby("doctor", engine).code == 0
    assert asked == [("binary", "runc-of-tests", ">=1.1", "runc-pack")]


@pytest.mark.parametrize("policy", ["optional", "skip-if-unfit"])
def test_a_part_that_may_be_missing_is_no_fault(moby, folder: Path, policy: str) -> None:
    manifest = f"moby: 1\nname: e\ncomponents:\n  runtime: [native, {{use: runc, policy: {policy}}}]\n"
    (folder / "e.yaml").write_text(manifest)
    done = moby("doctor", "e.yaml")
    assert (done.code, done.err) == (0, "")
    assert done.out == UNMET.replace("UNMET", "unmet, so left out")


def test_without_a_manifest_all_parts_are_looked_at(moby) -> None:
    done = moby("doctor")
    assert (done.code, done.out) == (0, UNMET)


def test_a_manifest_that_does_not_resolve(moby, engine: Path) -> None:
    engine.write_text("moby: 1\nname: engine\ncomponents: {runtime: none}\n")
    done = moby("doctor", "engine.yaml")
    assert (done.code, done.out) == (1, "")
    assert "no runtime 'none' is installed" in done.err


def test_facts_tell_of_what_parts_ask_for(moby) -> None:
    facts = json.loads(moby("doctor", "--facts").out)
    assert facts["schema"] == 1
    assert facts["binary"]["runc-of-tests"] is None


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(None, 1, "no facts file at facts.json", id="none"),
        pytest.param("{", 1, "facts.json: not JSON", id="no-json"),
        pytest.param("[]", 1, "facts.json: not a JSON object", id="a-list"),
    ],
)
def test_facts_that_cannot_be_used(moby, engine: Path, folder: Path, text: str | None, code: int, said: str) -> None:
    if text:
        (folder / "facts.json").write_text(text)
    done = moby("doctor", engine, "--target", "facts.json")
    assert done.code == code
    assert done.err.startswith(said)
