"""Pictures, boxes and maps on their way to a network, always moved together."""
