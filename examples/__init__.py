"""Complete parameter files for typical data and machines, and how to fetch the public data."""
