"""The log driver `syslog`: each record is a message to a syslog server, of this host or another."""
