"""The heart: what is read, sent and remembered, in which order."""
