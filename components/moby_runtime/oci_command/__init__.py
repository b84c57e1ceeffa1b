"""What runtimes share that are a command with runc's verbs and flags; no component itself."""
