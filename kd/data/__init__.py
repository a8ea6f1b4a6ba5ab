"""Datasets, augmentation and data loading. Pictures, boxes and information maps are always transformed together."""

import warnings

# Pillow's warnings about damaged EXIF data and large pictures name its own source file instead of the picture
warnings.filterwarnings("ignore", module=r"PIL\.")
