"""Decoding of predictions, the detection loss, and COCO scores."""
