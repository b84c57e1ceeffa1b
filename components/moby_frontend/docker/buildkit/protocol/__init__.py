"""The messages that are read and written: as much of each as anybody here uses."""
