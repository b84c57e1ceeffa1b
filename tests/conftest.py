import os
import signal
import tempfile
from pathlib import Path

import pytest

from moby.host import tree
from moby.testing.as_user import NOBODY, as_nobody

# A shell's background job ignores these, and what a test starts would inherit that.
for _number, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Have suites against mutants be slow: each runs what failing takes, again and again."""
    for item in items:
        if item.path.stem.endswith("_mutants"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def unprivileged():
    """A function that calls another as an ordinary user, with a folder that is that user's."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)

    def call(function):
        if os.geteuid() == 0:
            as_nobody(lambda: function(folder))
        else:
            function(folder)

    yield call
    parent = os.open(folder.parent, tree.DIRECTORY_FLAGS)
    tree.remove(parent, folder.name)
    os.close(parent)
