"""Networks that are the host's own: containers share a card's MAC address."""
