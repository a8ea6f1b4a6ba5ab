"""Information maps and the distillation losses."""
