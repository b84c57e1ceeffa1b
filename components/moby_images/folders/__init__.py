"""What image stores share: folders that are lent."""
