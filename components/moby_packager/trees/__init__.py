"""What packagers of file trees share: a tree with the owners of its bytes, and shares of what was compressed."""
