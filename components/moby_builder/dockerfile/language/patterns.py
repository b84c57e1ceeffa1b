from moby.context.patterns import *  # noqa: F403
from moby.context.patterns import Match, Patterns, read_ignore_file, MOST_BYTES, NONE  # noqa
