"""Door: the embedded host, for people without Accelerate."""
