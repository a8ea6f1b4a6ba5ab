"""The information map and what the student learns through it."""
