"""Components of kind `image-registry`."""
