"""The verb `run`: a container in the foreground, in Docker's spelling."""
