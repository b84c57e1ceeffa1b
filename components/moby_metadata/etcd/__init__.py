"""Metadata in etcd, which engines of several hosts may share."""
