"""The image-registry `folder`: image layouts on a disk, for hosts without a network."""
