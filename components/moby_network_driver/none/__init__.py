"""No network but a loopback."""
