"""The parameters in params.yaml. The values are dependencies of the stages in dvc.yaml; this code is not."""
