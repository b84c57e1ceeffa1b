"""What runtimes share of checkpoints, which CRIU writes and restores (criu(8)); no component itself."""
