"""Speaks Rally; has never heard of Accelerate."""
