"""BuildKit's protocol: gRPC over connections taken from HTTP, one for calls, one for what a client lends a build."""
