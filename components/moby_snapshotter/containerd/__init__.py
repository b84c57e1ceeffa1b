"""Snapshots that containerd keeps."""
