"""A simulated Rally server for tests, demonstrations and connector authors."""
