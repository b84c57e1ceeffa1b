"""The component `orchestrator/compose`: keeps applications on this machine, with docker compose's names and labels."""
