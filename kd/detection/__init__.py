"""From heads to boxes, to a loss, to a score."""
