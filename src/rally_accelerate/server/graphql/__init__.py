"""Accelerate's GraphQL operations, answered from the server's store."""
