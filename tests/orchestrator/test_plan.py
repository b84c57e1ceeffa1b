import random

import pytest
from moby_orchestrator.reconciling.reconciler import plan
from moby_orchestrator.reconciling.view import State
from orchestrator.notation import SECOND, cases, state_of, told

FILES = ("replicas", "updates", "restarts", "jobs", "everywhere", "dependencies", "placement", "nodes")
CASES = [pytest.param(case, id=f"{name}-{case['case'].replace(' ', '_')}") for name in FILES for case in cases(name)]


def shuffled(state, seed):
    """The same state, found in another order."""
    draw = random.Random(seed)
    return State(
        *(dict(draw.sample(list(each.items()), len(each))) for each in (state.services, state.tasks, state.nodes))
    )


@pytest.mark.parametrize("case", CASES)
def test_what_is_planned(case):
    state, now = state_of(case), round(case.get("now", 100) * SECOND)
    found = plan(state, now, case.get("history", 5))
    assert [told(each) for each in found.actions] == case.get("plan", [])
    assert found.wake_ns / SECOND == case.get("wake", 0)
    assert dict(found.waiting) == case.get("waiting", {})
    assert all(plan(shuffled(state, seed), now, case.get("history", 5)) == found for seed in range(3))
