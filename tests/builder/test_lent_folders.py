"""Folders that a client lends or not, as builds tell of them."""

import pytest
from building_engines import Engine, box_root

from moby.contracts.builder import Request, Vertex
from moby.errors import MobyError
from moby.testing.lending import Building, Lending
from moby.testing.mounted import own_mounts
from moby.testing.net_namespaces import own_network


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    with own_mounts(shared=True), own_network(), Engine(folder, box_root(folder)) as engine:
        yield engine


def test_a_folder_that_is_only_looked_for_is_no_error(engine, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL a=b\n")
    with Building(engine.builder, Lending({"context": tmp_path})) as at:
        at.build.solve(Request())
        last = {each.digest: each for each in at.events if isinstance(each, Vertex)}
    assert [each.error for each in last.values()] == [""] * len(last)
    assert all(each.completed_ns for each in last.values())


def test_no_folder_at_all_is_one(engine):
    with Building(engine.builder, Lending()) as at, pytest.raises(MobyError, match="Dockerfile"):
        at.build.solve(Request())
