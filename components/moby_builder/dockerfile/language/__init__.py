"""The language: what a Dockerfile says, with lines; and patterns of .dockerignore."""
