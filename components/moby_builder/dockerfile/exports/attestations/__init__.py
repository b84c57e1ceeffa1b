"""What is attested of images: how they were built, and which packages are in them."""
