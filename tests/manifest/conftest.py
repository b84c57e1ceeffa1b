from collections.abc import Callable
from pathlib import Path

import pytest

from moby import manifest
from moby.manifest import Assembly, Reading

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Write a manifest and return its path, relative to a current folder of its own; `moby: 1` is put before it."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "m.yaml", *, bare: bool = False) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if bare else f"moby: 1\n{text}", encoding="utf-8")
        return Path(name)

    return write


@pytest.fixture
def read(put: Put) -> Callable[..., Reading]:
    """Read a manifest from text, with the flags and the variables given."""

    def reading(text: str, *sets: str, bare: bool = False, **environ: str) -> Reading:
        return manifest.read(put(text, bare=bare), sets=sets, environ=environ)

    return reading


@pytest.fixture
def load(put: Put) -> Callable[..., Assembly]:
    """Load layers of manifests, each extending the one before, the last with the flags and variables given."""

    def loaded(*texts: str, sets: tuple[str, ...] = (), **environ: str) -> Assembly:
        path = Path()
        for at, text in enumerate(texts):
            extends = f"extends: [{path}]\n" if at else "name: engine\n"
            path = put(extends + text, f"layer{at}.yaml")
        return manifest.load(path, sets=sets, environ=environ)

    return loaded
