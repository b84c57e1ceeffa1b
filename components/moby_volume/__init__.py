"""Parts that make the folders that outlive containers."""
