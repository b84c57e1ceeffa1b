"""What runtimes share of control groups; no component itself."""
