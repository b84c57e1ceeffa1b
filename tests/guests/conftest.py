import pytest

_NOTES = pytest.StashKey[list]()


@pytest.fixture
def notes(pytestconfig):
    """What the end of the run is to say of tests inside guests."""
    return pytestconfig.stash.setdefault(_NOTES, [])


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(_NOTES, [])
    if found:
        terminalreporter.section("inside guests")
        terminalreporter.write_line("\n".join(found))
