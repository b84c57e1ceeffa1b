"""The last events, in memory."""
