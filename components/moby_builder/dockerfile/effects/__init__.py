"""Effects: operations done, to snapshots, by way of the contracts that the builder needs."""
