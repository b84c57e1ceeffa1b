"""How well a container is for an orchestrator, which ends what isn't, and counts on what is."""

from moby.contracts.containers import Container
from moby.contracts.supervisor import HealthCheck, HealthStatus

__all__ = ["health_of"]

_RETRIES = HealthCheck(()).retries


def health_of(container: Container) -> HealthStatus:
    """Return what a container's probes have found; a pause, since which it is shown as unhealthy, is no finding.

    Docker's swarm goes by events, of which a pause makes none.
    """
    health = container.state.health
    if health is None:
        return HealthStatus.NONE
    check = container.config.health
    retries = check.retries if check is not None and check.retries > 0 else _RETRIES
    if health.status is not HealthStatus.UNHEALTHY or health.failing_streak >= retries:
        return health.status
    well = any(each.code == 0 for each in health.results)
    return HealthStatus.HEALTHY if well else HealthStatus.STARTING
