"""Checks: what is most likely not meant as it is written (docs.docker.com/reference/build-checks)."""
