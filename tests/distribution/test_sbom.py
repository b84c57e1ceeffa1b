"""The bill of materials."""

import json
from pathlib import Path

import pytest
from installing import Site, part, plan

from moby.distribution.contents import contents
from moby.distribution.locking import pins
from moby.distribution.sbom import document
from moby.lock import Lock, loads


def test_it_names_all_that_is_inside(quickstart: Path) -> None:
    found = json.loads((quickstart / "quickstart.cdx.json").read_text())
    lock = json.loads((quickstart / "quickstart.lock.json").read_text())
    parts = {each["name"]: each for each in found["components"]}
    assert set(parts) == {
        *(each["facts"]["id"] for each in lock["engine"]["instances"]),
        *("attrs", "pluggy", "moby-framework"),
    }
    assert parts["attrs"]["purl"] == f"pkg:pypi/attrs@{parts['attrs']['version']}"
    assert parts["moby-framework"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    needs = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert "supervisor/foreground" in needs["command/run"]
    assert "moby-framework 0.1.0" in needs["runtime/native"]


@pytest.mark.slow
def test_it_is_valid(quickstart: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.exception import MissingOptionalDependencyException
    from cyclonedx.schema import SchemaVersion

    try:
        found = validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(
            (quickstart / "quickstart.cdx.json").read_text()
        )
    except MissingOptionalDependencyException:
        pytest.skip("cyclonedx-python-lib is here without its extra `validation`")
    assert found is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("MIT", {"license": {"id": "MIT"}}, id="id"),
        pytest.param("MIT OR Apache-2.0", {"expression": "MIT OR Apache-2.0"}, id="expression"),
        pytest.param("as you like", {"license": {"name": "as you like"}}, id="words"),
        pytest.param("", None, id="none"),
    ],
)
def test_licences(site: Site, text: str, found: object) -> None:
    site.install("parts", {"parts.py": ""}, expression=text)
    engine = plan(part("runtime/one", "parts"))
    lock = Lock("sample", "0.1.0", "3.13", engine, plan(), (), pins(engine, plan()))
    told = json.loads(document(lock, contents(engine), {}))["components"]
    assert next(each for each in told if each["name"] == "parts").get("licenses", [None]) == [found]


@pytest.mark.slow
def test_it_tells_no_time(quickstart: Path) -> None:
    lock = loads((quickstart / "quickstart.lock.json").read_bytes())
    inside = contents(lock.engine)
    one, other = (document(lock, inside, {"pyz": {"moby": 1}}) for _ in range(2))
    assert one == other
    assert json.loads(one)["metadata"]["timestamp"] == "1980-01-01T00:00:00+00:00"
