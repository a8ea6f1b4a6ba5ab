"""The training loop for teacher, baseline and distilled student."""
