"""Accelerate's GraphQL operations, answered from the host's store."""
