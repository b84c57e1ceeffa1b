"""What programs say of their versions."""

from pathlib import Path

import pytest

from moby.host.versions import said_of, versions_in


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("runc version 1.1.15+ds1\ncommit: 1.1.15+ds1-2\nspec: 1.2.0\n", {"runc": ("1.1.15+ds1", "1.1.15+ds1-2")}),
        ("crun version 1.21\ncommit: 10269840aa\nrundir: /run\n", {"crun": ("1.21", "10269840aa")}),
        ("youki version: 0.5.3\ncommit: 0.5.3-0-gca80\n", {"youki": ("0.5.3", "0.5.3-0-gca80")}),
        ("runc version 1.2", {"runc": ("1.2", "")}),
        ("nonsense", {}),
        ("", {}),
    ],
)
def test_versions(said: str, found: dict[str, tuple[str, str]]) -> None:
    assert versions_in(said) == found


def test_what_a_program_says(tmp_path: Path) -> None:
    assert said_of(script(tmp_path / "a", 'echo "$@" here')) == "--version here\n"
    with pytest.raises(OSError, match="--version fails: bad"):
        said_of(script(tmp_path / "b", "echo bad >&2; exit 1"))
    with pytest.raises(OSError, match="exit code 3"):
        said_of(script(tmp_path / "c", "exit 3"))
    with pytest.raises(FileNotFoundError):
        said_of(str(tmp_path / "none"))
