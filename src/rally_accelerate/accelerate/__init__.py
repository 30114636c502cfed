"""Speaks Accelerate; has never heard of Rally."""
