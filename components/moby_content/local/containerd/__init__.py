"""Blobs in containerd's content store; what is on its way there is in a folder, as with `local`."""
