"""The steps of the workflow: files in, files out, one MLflow run each."""
