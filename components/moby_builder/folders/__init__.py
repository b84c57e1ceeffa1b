"""What builders share: trees of files as they are given away, archives as they come."""
