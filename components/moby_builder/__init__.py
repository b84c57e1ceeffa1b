"""Parts that build images of Dockerfiles."""
