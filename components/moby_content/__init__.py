"""Parts that keep blobs."""
