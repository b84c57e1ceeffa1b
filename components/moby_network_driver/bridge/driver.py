"""The driver of bridge networks."""

from moby.contracts.ambient import Log, Place
from moby_network_driver.bridge.config import Config
from moby_network_driver.bridge.options import PREDEFINED, check, predefined_options, settings_of
from moby_network_driver.bridged.driver import Bridged, Sort

__all__ = ["bridge"]


def bridge(config: Config, place: Place, log: Log) -> Bridged:
    """Return the driver."""
    sort = Sort(
        "bridge",
        check,
        lambda segment: settings_of(segment, config),
        predefined=PREDEFINED,
        predefined_options=predefined_options(config),
        ip_forward=config.ip_forward,
    )
    return Bridged(sort, place, log)
