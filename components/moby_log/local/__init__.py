"""The log driver `local`: a compact form of its own, for logs that only the engine reads."""
