"""The packager `sysext`: an engine that a running system merges into its /usr."""
