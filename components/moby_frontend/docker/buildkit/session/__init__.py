"""What a client lends a build, over its session: folders, streams, secrets, agents, credentials, blobs."""
