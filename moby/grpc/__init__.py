"""HTTP/2 and protocol buffers, without any I/O: what front ends that speak gRPC and parts that ask by it share."""
