"""The log driver `json-file`: docker's own form, a line of JSON for each record."""
