"""What a runtime under test offers, and which tests that leaves out."""

import pytest

from moby.testing.boxes import Boxes, delegated

__all__ = ["lacks", "needs_groups", "needs_root", "offers"]


def offers(boxes: Boxes, feature: str) -> bool:
    """Whether the runtime says that it has a feature."""
    return feature in boxes.runtime.features


def lacks(boxes: Boxes, feature: str) -> None:
    """Skip a test of how a feature works where it isn't offered; another test sees that it is refused."""
    if not offers(boxes, feature):
        pytest.skip(f"this runtime doesn't offer {feature}")


def needs_groups(boxes: Boxes) -> None:
    """Skip where the caller can't have cgroups at all."""
    if boxes.rootless and not delegated():
        pytest.skip("no control group was given to this user; runs as root, and where one was")


def needs_root(boxes: Boxes, why: str) -> None:
    """Skip where an ordinary user may not what is tested."""
    if boxes.rootless:
        pytest.skip(f"{why}; runs as root")
