"""The query language of value streams (accelerate-api-notes.md#value-stream-queries)."""
