"""What all log drivers share of records: lines out of chunks, options in docker's words, tags, the form of output."""
