"""The image-registry `distribution`: the OCI distribution API, and Docker Hub."""
