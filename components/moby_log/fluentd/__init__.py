"""The log driver `fluentd`: each record is an event, sent by the forward protocol."""
