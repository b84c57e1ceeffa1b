"""The front end: a Dockerfile and a request, turned into a graph of operations and configs of images."""
