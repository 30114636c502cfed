"""The sync engine: what is read, uploaded and stored, and in which order."""
