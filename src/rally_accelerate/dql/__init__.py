"""The query language of value streams (accelerate-host.md 4)."""
