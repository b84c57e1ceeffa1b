"""The suite fails each mutant."""

import inspect
import os

import pytest
from moby_log.json_file.driver import JsonFile
from moby_log.none.driver import Nothing

from moby.contracts.log_driver import LogConfig
from moby.testing.log_driver import LogDriverSuite, LogWriterSuite
from moby.testing.log_driver_mutants import MUTANTS
from moby.testing.logs import descriptors, six_lines


@pytest.fixture
def configure(tmp_path):
    def make(**more):
        number = len(list(tmp_path.iterdir()))
        (tmp_path / str(number)).mkdir()
        return LogConfig(f"{number:064x}", tmp_path / str(number), name="box", **more)

    return make


@pytest.fixture
def no_leak():
    """Closes what a mutant leaves open."""
    before = set(descriptors())
    yield
    for each in set(descriptors()) - before:
        os.close(int(each))


def run(mutant, driver, configure):
    test = getattr(LogDriverSuite(), mutant.test)
    given = {"driver": driver, "configure": configure}
    names = list(inspect.signature(test).parameters)
    if "written" in names:
        given["written"] = six_lines(driver, configure())
    given |= dict(zip([name for name in names if name not in given], mutant.given, strict=True))
    test(**{name: given[name] for name in names})


@pytest.mark.usefixtures("no_leak")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_mutant_of_logs_is_caught(mutant, configure):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        run(mutant, mutant.wrap(JsonFile()), configure)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError | NameError)


def test_each_promise_has_a_mutant():
    tests = {name for name in dir(LogDriverSuite) if name.startswith("test_")}
    assert tests - {mutant.test for mutant in MUTANTS} == {"test_reading_where_that_is_not_there"}


def test_one_that_is_read_though_it_cannot_be(configure):
    class Reads(Nothing):
        def read(self, config, query, ended):
            return iter(())

    with pytest.raises(BaseException, match="DID NOT RAISE"):
        LogWriterSuite().test_reading_where_that_is_not_there(Reads(), configure)
