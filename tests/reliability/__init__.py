"""Scenarios in which real processes are killed, stalled or cut off, and what is left of the data afterwards."""
