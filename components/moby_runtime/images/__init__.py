"""What runtimes share of images of processes, which CRIU writes and reads (criu(8)); no component itself."""
