"""The language: what a Dockerfile says, with lines."""
