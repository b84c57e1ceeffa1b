"""The log driver `journald`: each record is an entry of the systemd journal."""
