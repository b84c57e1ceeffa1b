"""Parts keep their contracts also where they are called by a socket: objects, functions, files and streams cross."""

from contextlib import ExitStack

import pytest
from moby_content.local.store import Store
from moby_image_registry.folder.plugin import Config, make
from moby_log.json_file.driver import JsonFile
from moby_metadata.sqlite.store import Store as Documents
from moby_snapshotter.copy.snapshots import Copy

from moby.contracts.ambient import Place
from moby.contracts.content import Content
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.log_driver import LogDriver
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import ImageReference
from moby.testing.content import ContentSuite
from moby.testing.image_registry import ImageRegistrySuite
from moby.testing.log_driver import LogDriverSuite
from moby.testing.metadata import MetadataSuite
from moby.testing.serving import answered
from moby.testing.snapshotter import SnapshotterSuite


class TestServedContent(ContentSuite):
    @pytest.fixture
    def store(self, tmp_path):
        with answered(Content, Store(tmp_path / "state")) as content:
            yield lambda: content


class TestServedMetadata(MetadataSuite):
    @pytest.fixture
    def store(self, tmp_path):
        with Documents(tmp_path / "documents") as documents, ExitStack() as stack:
            yield lambda: stack.enter_context(answered(Metadata, documents))


class TestServedLogDriver(LogDriverSuite):
    settling_s = 30.0

    @pytest.fixture
    def driver(self):
        with answered(LogDriver, JsonFile()) as driver:
            yield driver

    def test_it_is_never_called_where_nobody_may_wait(self, driver):
        assert driver.waits
        assert not JsonFile().waits


class TestServedSnapshotter(SnapshotterSuite):
    @pytest.fixture
    def store(self, tmp_path):
        with (
            Documents(tmp_path / "documents") as documents,
            answered(Snapshotter, Copy(tmp_path / "state", documents)) as snapshotter,
        ):
            yield lambda: snapshotter


class TestServedImageRegistry(ImageRegistrySuite):
    @pytest.fixture
    def registry(self, tmp_path):
        with answered(ImageRegistry, make(Config(), place=Place(tmp_path, tmp_path, tmp_path))) as registry:
            yield registry

    @pytest.fixture
    def name(self):
        return lambda word: ImageReference("example.org:5000", f"me/{word}", "1")
