"""A need of the host may be met by a Python package that is installed beside it."""

import pytest

from moby.component import HostNeed
from moby.needs import judge


@pytest.mark.parametrize(
    ("need", "ok", "detail"),
    [
        pytest.param(HostNeed("binary", "sh"), True, "", id="on the host"),
        pytest.param(HostNeed("binary", "no-such-binary", module="attr"), True, "attr brings it", id="by a package"),
        pytest.param(HostNeed("binary", "no-such-binary", module="no_such_module"), False, "", id="by neither"),
    ],
)
def test_need(need: HostNeed, ok: bool, detail: str) -> None:
    found = judge(need)
    assert found.ok is ok
    assert detail in found.detail


def test_fix_names_the_package() -> None:
    assert "nowhere" in judge(HostNeed("binary", "no-such-binary", package="nowhere")).fix
