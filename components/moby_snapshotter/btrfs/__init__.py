"""Snapshots that are subvolumes of btrfs."""
