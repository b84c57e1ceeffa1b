"""Networks in the metadata, and who is on them."""
