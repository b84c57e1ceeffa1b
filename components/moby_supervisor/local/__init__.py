"""The supervisor that outlives the engine: containers, their output and their exits survive its own death, too."""

from moby.contracts.supervisor import SupervisorFeature

FEATURES = (
    SupervisorFeature.ATTACH_MANY,
    SupervisorFeature.HEALTH,
    SupervisorFeature.JOURNAL,
    SupervisorFeature.LOGS,
    SupervisorFeature.SURVIVES,
)
"""What it offers; the plugin declares the same."""
