"""Docker's everyday verbs, for machines that have no docker command."""
