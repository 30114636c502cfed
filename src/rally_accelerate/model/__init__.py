"""The nouns of the product: standard library only, no I/O."""
