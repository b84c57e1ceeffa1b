"""What snapshotters in folders share: records, and a folder for each snapshot."""
