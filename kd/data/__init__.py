"""Pictures, boxes and information maps on their way into a network. They are always transformed together."""
