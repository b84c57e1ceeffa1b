"""The budget, and what is named where it is exceeded."""

from pathlib import Path

import pytest

from moby import distribution
from moby.distribution import budget
from moby.distribution.sbom import sizes_in
from moby.errors import Invalid, Origin

SIZES = {"pyz": {"moby": 1000, "runtime/native": 700, "attrs 26.1.0": 300, "(format)": 45}}
WHERE = Origin("main.yaml", 9, 3)


@pytest.mark.parametrize("allowed", [pytest.param(None, id="none"), pytest.param(2045, id="just-enough")])
def test_within(allowed: int | None) -> None:
    budget.check(SIZES, allowed, before={}, where=WHERE)


@pytest.mark.parametrize(
    ("before", "because"),
    [
        pytest.param(
            {},
            ["moby brings 1,000 bytes", "runtime/native brings 700 bytes", "attrs 26.1.0 brings 300 bytes",
             "(format) brings 45 bytes"],
            id="first-time",
        ),
        pytest.param(
            {"pyz": {"moby": 900, "attrs 26.1.0": 400, "(format)": 45}},
            ["runtime/native is new, with 700 bytes", "moby grew by 100 bytes to 1,000"],
            id="grown",
        ),
    ],
)  # fmt: skip
def test_over(before: dict[str, dict[str, int]], because: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        budget.check(SIZES, 2000, before=before, where=WHERE, spare=lambda owners: ["runtime/native"])
    (problem,) = caught.value.problems
    assert str(problem).startswith("main.yaml:9:3: pyz comes to 2,045 bytes, 45 over the budget of 2,000\n")
    assert list(problem.because) == because
    assert problem.fixes == ("budget: 2045", "leave out runtime/native, which brings 700 bytes")


def test_each_artifact_has_to_keep_to_it() -> None:
    with pytest.raises(Invalid) as caught:
        budget.check({**SIZES, "deb": SIZES["pyz"]}, 1, before={})
    assert [problem.message.split()[0] for problem in caught.value.problems] == ["deb", "pyz"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"metadata": 1}', b'{"metadata": {"component": {"properties": 3}}}']
)
def test_a_document_of_somebody_else_tells_no_sizes(data: bytes) -> None:
    assert sizes_in(data) == {}


@pytest.mark.slow
def test_what_is_shipped_for_little_room_takes_little(tmp_path: Path) -> None:
    """It has its budget from its own file, and how it is packed from the one that it extends."""
    distribution.assemble("edge", tmp_path)
    assert (tmp_path / "edge/edge.pyz").stat().st_size < 5_200_000
