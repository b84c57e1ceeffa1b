"""The conformance suite of the kind `network-driver`; `moby.testing.network_mutants` holds what it must fail."""

import re

import pytest

from moby.contracts.network_driver import NetworkDriver
from moby.errors import Invalid

__all__ = ["NetworkDriverSuite"]


class NetworkDriverSuite:
    """What every network driver must do. A subclass brings the fixture `driver`."""

    @pytest.fixture
    def driver(self) -> NetworkDriver:
        """Return the driver under test."""
        raise NotImplementedError

    def test_what_people_see(self, driver: NetworkDriver) -> None:
        """A name and one of docker's scopes."""
        assert re.fullmatch("[a-z][a-z0-9._-]*", driver.name)
        assert driver.scope in ("local", "swarm")

    def test_there_is_a_network_of_it(self, driver: NetworkDriver) -> None:
        """From the start, or because users make one."""
        assert driver.predefined or driver.creatable

    def test_who_shares_the_host_is_made_once(self, driver: NetworkDriver) -> None:
        """Since there is one host."""
        assert not (driver.shares_host and driver.creatable)

    def test_options(self, driver: NetworkDriver) -> None:
        """None are fine; one that isn't known is Invalid and named."""
        driver.check({})
        with pytest.raises(Invalid, match="nonesuch"):
            driver.check({"nonesuch": "1"})
