"""HTTP/2 (RFC 9113) as gRPC uses it: both ends of connections that were taken from HTTP/1.1."""
