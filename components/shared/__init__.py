"""Code shared by several steps that affects their outputs; their stages in dvc.yaml depend on it."""
