"""When and where the steps run: the graph for Kubeflow Pipelines, on a cluster or on this machine."""
