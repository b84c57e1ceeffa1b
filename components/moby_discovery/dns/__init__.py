"""A DNS server in each container's namespace, and the sockets that hold published ports."""
