"""A builder of its own: a front end that makes a graph of a Dockerfile, a solver that runs it over a cache."""
