"""The suite of log drivers, for those that need nobody else."""

import pytest
from moby_log.json_file.driver import JsonFile
from moby_log.local.driver import Local
from moby_log.none.driver import Nothing

from moby.testing.log_driver import LogDriverSuite, LogWriterSuite


class TestJsonFileSuite(LogDriverSuite):
    @pytest.fixture
    def driver(self):
        return JsonFile()


class TestLocalSuite(LogDriverSuite):
    @pytest.fixture
    def driver(self):
        return Local()


class TestNoneSuite(LogWriterSuite):
    @pytest.fixture
    def driver(self):
        return Nothing()
