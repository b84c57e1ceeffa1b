"""The runtime that makes containers by system calls from Python, with no other program."""
