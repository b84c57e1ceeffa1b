"""Supervisors, which keep containers' processes, streams and exits, and the commands that need nothing but one."""
