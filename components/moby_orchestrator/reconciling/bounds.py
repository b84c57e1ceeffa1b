"""Numbers of a service's spec that make no sense for any orchestrator."""

from collections.abc import Iterator

from moby.contracts.orchestrator import ServiceSpec

__all__ = ["problems"]


def problems(spec: ServiceSpec) -> Iterator[str]:
    """Yield what is wrong with its numbers of restarts, updates and placement."""
    for what in ("delay_ns", "max_attempts", "window_ns"):
        if getattr(spec.restart, what) < 0:
            yield f"restart.{what} must be 0 or more, not {getattr(spec.restart, what)}"
    for name, policy in (("update", spec.update), ("rollback", spec.rollback)):
        if policy.parallelism < 0 or policy.delay_ns < 0 or policy.monitor_ns < 0:
            yield f"{name}: parallelism, delay and monitor can't be below 0"
        if not 0 <= policy.max_failure_ratio <= 1:
            yield f"{name}: the failure ratio is from 0 to 1, not {policy.max_failure_ratio}"
    if spec.placement.max_replicas_per_node < 0:
        yield f"max replicas per node must be 0 or more, not {spec.placement.max_replicas_per_node}"
    reserved = {"CPUs": spec.reservations.nano_cpus, "memory": spec.reservations.memory_bytes}
    for name, value in (reserved | dict(spec.reservations.generic)).items():
        if value < 0:
            yield f"the reservation of {name} must be 0 or more, not {value}"
