"""A folder of the import path, and discovery with a cache of its own."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sites import Site

from moby.registry import Catalog, discover


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A folder that comes first on the import path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return Site(folder)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("facts")


@pytest.fixture
def found(shared_cache: Path) -> Callable[..., Catalog]:
    """Discover, with what the framework itself brings inspected once for all tests."""
    return lambda **settings: discover(cache=shared_cache, **settings)
