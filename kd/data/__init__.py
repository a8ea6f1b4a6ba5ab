"""Pictures, boxes and information maps on their way into a network. They are always transformed together."""

import warnings

# Pillow warns of damaged EXIF data and of large pictures with the path of its own source; the checks decide what is doubtful
warnings.filterwarnings("ignore", module=r"PIL\.")
