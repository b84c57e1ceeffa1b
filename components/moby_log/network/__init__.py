"""What log drivers that send to another process or host share: addresses and connections."""
