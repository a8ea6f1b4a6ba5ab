"""A Kubernetes API server in a thread: objects by path, and a kubeconfig."""

from contextlib import contextmanager
from types import SimpleNamespace

import yaml

from tests.http_server import JsonHandler, serving_http


def use_kubeconfig(monkeypatch, file):
    """Kubernetes' client reads KUBECONFIG only when it is imported."""
    for module in ("kubernetes.config", "kubernetes.config.kube_config"):
        monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(file))


@contextmanager
def serving_kubernetes(folder):
    """Run a server; yields `objects` (path -> object), `forbidden` (paths answered with 403), `requests`, and the file `kubeconfig`."""
    state = SimpleNamespace(objects={}, forbidden=set(), requests=[], kubeconfig=folder / "kubeconfig")

    class Handler(JsonHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            state.requests.append(self.path)
            status = 403 if path in state.forbidden else 200 if path in state.objects else 404
            self.send_content(status, state.objects[path] if status == 200 else {"kind": "Status", "code": status, "reason": "Forbidden"})

    with serving_http(Handler) as url:
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        config = {"clusters": [{"name": "test", "cluster": {"server": url}}], "contexts": [context], "current-context": "test"}
        state.kubeconfig.write_text(yaml.safe_dump(config | {"users": [{"name": "test", "user": {}}]}))
        yield state
