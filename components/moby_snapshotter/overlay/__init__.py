"""Layers that the kernel's overlayfs shows as one."""
