"""What several steps share and that has a say in their outputs: a dependency of their stages in dvc.yaml."""
