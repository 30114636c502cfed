"""Mapping of Rally work items to issues. No I/O."""
