"""Door: the command line; no logic."""
