"""The log driver `none`: nothing is kept."""
