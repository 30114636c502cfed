"""Client for Rally's Web Services API and Lookback API; independent of Accelerate."""
