"""A Kubernetes API server in a thread: objects by path, and a kubeconfig."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import yaml


def use_kubeconfig(monkeypatch, file):
    """Kubernetes' client reads KUBECONFIG only when it is imported."""
    for module in ("kubernetes.config", "kubernetes.config.kube_config"):
        monkeypatch.setattr(f"{module}.KUBE_CONFIG_DEFAULT_LOCATION", str(file))


@contextmanager
def serving_kubernetes(folder):
    """Run a server; yields `objects` (path -> object), `forbidden` (paths answered with 403), `requests`, and the file `kubeconfig`."""
    state = SimpleNamespace(objects={}, forbidden=set(), requests=[], kubeconfig=folder / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            state.requests.append(self.path)
            status = 403 if path in state.forbidden else 200 if path in state.objects else 404
            body = state.objects[path] if status == 200 else {"kind": "Status", "code": status, "reason": "Forbidden"}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    named = {"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
    config = {"clusters": [named], "contexts": [context], "users": [{"name": "test", "user": {}}], "current-context": "test"}
    state.kubeconfig.write_text(yaml.safe_dump(config))
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
