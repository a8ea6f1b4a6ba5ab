"""A client of Kubernetes, with the kubeconfig of this machine or the service account of this pod."""

from contextlib import redirect_stdout
from io import StringIO

from kubernetes import client, config

REQUEST_OPTIONS = {"_request_timeout": 15}
"""Each request needs these."""


def connect_to_kubernetes() -> client.ApiClient:
    """A client that sends each request once.

    Raises:
        kubernetes.config.ConfigException: if there is neither a kubeconfig nor a service account.
    """
    settings = client.Configuration()
    settings.retries = False
    with redirect_stdout(StringIO()):  # it prints where it looks for its settings
        config.load_config(client_configuration=settings)
    return client.ApiClient(settings)
