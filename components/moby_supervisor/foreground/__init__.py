"""The supervisor of an engine without a daemon: containers live as long as the process that started them."""
