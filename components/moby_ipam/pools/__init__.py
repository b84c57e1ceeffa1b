"""What parts that hand out addresses share: wishes as docker reads them, and what of a subnet is anybody's."""
