"""Parts that hand out subnets and addresses."""
