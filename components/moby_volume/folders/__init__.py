"""What drivers that keep volumes as folders share."""
