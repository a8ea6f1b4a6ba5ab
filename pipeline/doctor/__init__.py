"""The command `doctor`: check everything that a run on Kubeflow needs."""
