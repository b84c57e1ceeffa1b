from moby.context.wildcards import *  # noqa: F403
