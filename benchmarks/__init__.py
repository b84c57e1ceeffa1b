"""What `make bench` measures: ratios to a peer, in one run, with output and exit code checked each time."""
