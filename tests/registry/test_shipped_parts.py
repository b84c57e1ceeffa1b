"""What holds for all of the framework's own parts: who installs it can assemble each, and is told what options do."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

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


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()
