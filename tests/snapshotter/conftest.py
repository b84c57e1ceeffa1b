import pytest
from moby_metadata.sqlite.store import Store


@pytest.fixture
def metadata(tmp_path):
    with Store(tmp_path / "metadata.db") as store:
        yield store
