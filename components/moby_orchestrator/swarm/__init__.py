"""Keeps services on the machines of a cluster, which share what is in the metadata."""
