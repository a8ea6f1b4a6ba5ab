"""How a step is run and tracked. Nothing here affects a step's outputs, so no stage in dvc.yaml depends on it."""
