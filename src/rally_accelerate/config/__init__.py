"""The only reader of the outside world's settings."""
