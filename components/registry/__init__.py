"""The model registry: what is registered, what is in production, and how that came about."""
