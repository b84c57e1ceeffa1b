"""The packager `portable`: an engine as a service that systemd attaches and starts from its image."""
