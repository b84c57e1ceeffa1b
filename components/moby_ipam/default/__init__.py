"""Subnets and addresses out of pools, in order."""
