"""Docker's swarm API over the contract of orchestrators: JSON in and out, names and ids, and errors in its words."""
