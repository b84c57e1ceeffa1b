"""No addresses at all."""
