"""How a step is run, recorded and shown. It has no say in outputs, so no stage in dvc.yaml depends on it."""
