"""The embedded server, an alternative to Accelerate."""
