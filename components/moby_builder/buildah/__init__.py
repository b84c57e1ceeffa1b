"""A builder over buildah: the same contract as the one of our own, by a tool that people have."""
