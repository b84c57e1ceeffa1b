"""Networks that a plugin of docker's makes."""
