"""How containers are found: the parts of the kind `discovery`."""
