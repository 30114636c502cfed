"""Logging and progress texts; set up by the entry points."""
