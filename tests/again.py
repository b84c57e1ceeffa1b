"""A test that is tried again finds nothing of what it left: not only its own fixtures are made anew.

pytest-rerunfailures keeps those of its class and module, an engine's say, where the first attempt has made containers.
"""

from contextlib import ExitStack

import pytest

__all__ = ["pytest_runtest_setup"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """End what is wider than the test, but not than its module; the next attempt begins it once more."""
    if getattr(item, "execution_count", 1) > 1:  # which that plugin counts
        from pytest_rerunfailures import suspended_finalizers

        with ExitStack() as undo:
            for node in [each for each in suspended_finalizers if not isinstance(each, pytest.Session)]:
                finalizers, _ = suspended_finalizers.pop(node)
                for each in finalizers:
                    undo.callback(each)
