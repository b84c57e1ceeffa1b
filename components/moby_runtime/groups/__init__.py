"""What runtimes share of cgroups; no component itself."""
