"""What holds for all of the framework's own parts: who installs it can assemble each, and is told what options do."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from moby import resolver
from moby.manifest.assembly import Assembly, Choice
from moby.registry import Catalog

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_what_parts_bring_is_installed_with_the_framework(found: Callable[..., Catalog]) -> None:
    required = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    names = {Requirement(each).name for each in required}
    shipped = [each for each in found().components.values() if each.distribution.startswith("moby-framework ")]
    assert shipped
    lacking = [f"{part.id}: {each}" for part in shipped for each in part.brings if _name(each) not in names]
    assert not lacking


def test_every_option_says_what_it_is_for(found: Callable[..., Catalog]) -> None:
    silent = [
        f"{part.id}: {each.name}" for part in found().components.values() for each in part.options if not each.help
    ]
    assert not silent


@pytest.mark.parametrize(
    ("chosen", "filled"),
    [
        pytest.param({"frontend": "docker"}, {"images/store", "supervisor/local", "containers/engine"}, id="front-end"),
        pytest.param({"command": "compose"}, {"frontend/docker", "images/store", "supervisor/local"}, id="verb"),
        pytest.param({"command": "build"}, {"builder/dockerfile", "frontend/docker", "images/store"}, id="builds"),
        pytest.param({"command": "pull"}, {"images/store", "content/local"}, id="transfers"),
        pytest.param({"command": "run"}, {"images/layout", "supervisor/foreground"}, id="least"),
    ],
)
def test_what_one_line_asks_for_comes_to_an_engine_that_does_it(
    found: Callable[..., Catalog], chosen: dict[str, str], filled: set[str]
) -> None:
    choices = tuple(Choice(kind, use, use) for kind, use in chosen.items())
    plan = resolver.resolve(Assembly("one-line", choices), found())
    assert filled <= {each.key for each in plan.instances}


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()
