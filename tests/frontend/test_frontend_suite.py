"""The suite of front ends over the docker one, and its mutants, each of which the suite must catch."""

import inspect
from pathlib import Path

import pytest

from moby.testing import frontend as suite
from moby.testing.frontend import FrontendSuite
from moby.testing.frontend_mutants import MUTANTS


@pytest.fixture
def docker(serve):
    return lambda: serve(listen=False).frontend


@pytest.fixture
def short(tmp_path_factory):
    return tmp_path_factory.mktemp("f")


class TestDocker(FrontendSuite):
    @pytest.fixture
    def start(self, docker):
        return docker

    @pytest.fixture
    def folder(self, short):
        return short


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant, docker, short: Path, monkeypatch) -> None:
    monkeypatch.setattr(suite, "PATIENCE_S", 1.0)
    test = getattr(FrontendSuite(), mutant.test)
    given = {"start": lambda: mutant.wrap(docker()), "folder": short, "address": "nowhere"}
    wanted = {name: given[name] for name in inspect.signature(test).parameters}
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        test(**wanted)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)
