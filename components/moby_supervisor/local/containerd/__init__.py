"""The supervisor `containerd`: what `local` does, with containers that containerd makes, keeps and ends.

It lies beside the loop that it shares. containerd and its shims are the containers' parents; pipes, logs, health, the
journal and what several are attached to are this side's, as they are dockerd's in Docker.
"""
