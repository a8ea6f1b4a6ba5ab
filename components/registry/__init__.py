"""The commands of `kdflow registry`: list, show, compare, promote, roll back and copy registered models."""
