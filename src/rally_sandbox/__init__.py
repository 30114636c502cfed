"""A Rally server that is not one: a simulator for tests, demonstrations and connector authors."""
