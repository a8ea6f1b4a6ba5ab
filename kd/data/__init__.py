"""Datasets, augmentation and data loading. Pictures, boxes and information maps are always transformed together."""

import warnings

# Pillow's warnings about damaged EXIF data and large pictures do not name the picture; kdflow's own checks do
warnings.filterwarnings("ignore", module=r"PIL\.")
