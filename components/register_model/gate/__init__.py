"""The gate: decides whether a challenger replaces the champion."""
