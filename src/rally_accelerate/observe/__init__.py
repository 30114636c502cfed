"""Logging and pace, set up by doors only."""
