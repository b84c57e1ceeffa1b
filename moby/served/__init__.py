"""Parts in processes of their own: a contract's calls over a Unix socket, and the keeper above such processes."""
