"""Those who wait for a container, and no more."""

from moby.contracts.containers import Condition


def test_who_lets_go_is_forgotten(engine):
    made = engine.create("read a", open_stdin=True)
    entry = engine.containers._shelf.get(made)
    for condition in Condition:
        for _ in range(2):
            waiter = engine.containers.wait(made, condition)
            waiter.close()
            waiter.close()
    assert entry.waiters == []
