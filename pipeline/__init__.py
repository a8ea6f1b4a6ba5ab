"""The steps as a pipeline for Kubeflow Pipelines, run on a cluster or on this machine; and the command `kdflow`."""
