"""Measurements that a reader can repeat; each prints the class of machine that it ran on."""
