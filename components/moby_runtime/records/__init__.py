"""What runtimes share of their records: what later calls need to know of a container, on disk, a folder each."""
