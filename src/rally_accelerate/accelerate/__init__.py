"""The Accelerate client; knows nothing about Rally."""
