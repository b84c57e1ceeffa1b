"""Mounts by descriptor."""

from pathlib import Path

import pytest

from moby.host import mounts


def test_no_path_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of a name that got lost would show a container whatever its caller works in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        mounts.clone_tree("")
