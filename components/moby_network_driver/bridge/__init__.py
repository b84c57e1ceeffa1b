"""Networks that are bridges of the host's, with the world beyond it by NAT or routes."""
