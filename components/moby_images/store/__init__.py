"""Images over content, snapshots and metadata."""
