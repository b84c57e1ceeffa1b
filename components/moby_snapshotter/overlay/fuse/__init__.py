"""Layers that the program fuse-overlayfs shows as one."""
