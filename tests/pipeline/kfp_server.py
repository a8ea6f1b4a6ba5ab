"""A KFP server in a thread: its published v2beta1 API, answered from memory.

Every body that a client sends is checked, field by field, against the models of kfp_server_api, which are generated from that API's
OpenAPI description; what does not fit is answered with 400.
"""

import base64
import json
import re
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from threading import Lock
from urllib.parse import parse_qs, urlsplit

import yaml
from kfp_server_api import models

from tests.http_server import JsonHandler, serving_http

API = "/apis/v2beta1"
PAGE = 2
"""The server gives no more at once, so that every list is read page by page."""


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def check(value, kind):
    """Fail unless `value`, read from JSON, is what kfp_server_api calls `kind`: no unknown field, no wrong type, no unknown word."""
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), f"{value!r} is no list"
        for item in value:
            check(item, inner[1])
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        assert isinstance(value, dict), f"{value!r} is no object"
        for item in value.values():
            check(item, inner[1])
    elif kind == "datetime":
        datetime.fromisoformat(value)
    elif kind == "str":  # JSON of protocol buffers takes a 64-bit number for its text, and kfp.Client sends one
        assert isinstance(value, str) or type(value) is int, f"{value!r} is no text"
    elif kind in ("int", "bool"):
        assert type(value).__name__ == kind, f"{value!r} is no {kind}"
    elif kind != "object":
        _check_model(value, getattr(models, kind))


def _check_model(value, model):
    if hasattr(model, "allowable_values"):
        assert value in model.allowable_values, f"{value!r} is none of {model.allowable_values}"
        return
    kinds = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    assert isinstance(value, dict), f"{value!r} is no {model.__name__}"
    assert value.keys() <= kinds.keys(), f"{model.__name__} has no {value.keys() - kinds.keys()}"
    for name, item in value.items():
        check(item, kinds[name])


class Kfp:
    """The content of the server, and how it fails.

    Args:
        fault: gets the number of a request and its method and path; what it returns happens to that request: 500, "cut" (the
            connection ends and nothing is done) or "mute" (it is done, and the connection ends without an answer).
        busy: held while a request is dealt with.
    """

    def __init__(self):
        self.pipelines, self.versions, self.experiments, self.runs, self.schedules = {}, {}, {}, {}, {}
        self.requests, self.headers, self.moments = [], [], []
        self.busy = Lock()
        self.fault: Callable = lambda number, request: None
        self.info = {"commit_sha": "0", "tag_name": "2.17.0", "multi_user": True}
        self.archive, self.pods = {}, {}  # logs by name of the pod
        self.workflows = []  # Argo's workflow of the newest run, one for each time that it is asked for; the last one stays
        self.progress = []  # changes of the newest run, one before each time that it is asked for
        self._clock = datetime(2026, 11, 23, tzinfo=UTC)

    def enabled(self):
        """The enabled schedules' names."""
        return [schedule["display_name"] for schedule in self.schedules.values() if schedule["status"] == "ENABLED"]

    def answer(self, method, target, body):
        """The JSON content of the answer to a request."""
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        for pattern, handle in ROUTES.items():
            if match := re.fullmatch(pattern, f"{method} {url.path.removeprefix(API)}"):
                answer = handle(self, *match.groups(), query=query, body=body)
                self.moments.append((len(self.schedules), len(self.enabled())))
                return answer
        raise Refusal(404, f"no such resource: {method} {url.path}")

    def new(self, shelf, key, content):
        self._clock += timedelta(seconds=1)
        content = {**content, key: str(uuid.uuid4()), "created_at": f"{self._clock:%Y-%m-%dT%H:%M:%SZ}"}
        shelf[content[key]] = content
        return content

    def create_pipeline(self, query, body):
        check(body, "V2beta1Pipeline")
        if any(known["name"] == body["name"] for known in self.pipelines.values()):
            raise Refusal(409, f"pipeline {body['name']} exists")
        return self.new(self.pipelines, "pipeline_id", body)

    def upload_version(self, query, body):
        assert query.keys() <= {"name", "pipelineid", "description"}, query
        if any(known["display_name"] == query["name"] for known in self.versions.values()):
            raise Refusal(409, f"version {query['name']} exists")
        content = {"pipeline_id": query["pipelineid"], "display_name": query["name"], "name": query["name"]}
        spec, *platform = yaml.safe_load_all(body)
        content["pipeline_spec"] = {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec
        return self.new(self.versions, "pipeline_version_id", {**content, "description": query.get("description", "")})

    def create_experiment(self, query, body):
        check(body, "V2beta1Experiment")
        return self.new(self.experiments, "experiment_id", body)

    def create_run(self, query, body):
        check(body, "V2beta1Run")
        self._check_references(body)
        return self.new(self.runs, "run_id", {**body, "state": "PENDING"})

    def get_run(self, run_id, query, body):
        if self.progress and run_id in self.runs:
            self.runs[run_id].update(self.progress.pop(0))
        return one(self.runs, run_id)

    def terminate_run(self, run_id, query, body):
        run = one(self.runs, run_id)
        history = [{"state": run["state"]}, {"state": "CANCELING"}, {"state": "FAILED"}]  # as KFP records a stopped run
        self.progress = [{"state": "CANCELING"}, {"state": "FAILED", "state_history": history}]
        return {}

    def retry_run(self, run_id, query, body):
        run = one(self.runs, run_id)
        if run["state"] != "FAILED":
            raise Refusal(400, "Workflow must be Failed/Error to retry")
        run["state"] = "RUNNING"
        return {}

    def get_run_v1(self, run_id, query, body):
        workflow = self.workflows.pop(0) if len(self.workflows) > 1 else (self.workflows or [{}])[0]
        return {"run": {"id": one(self.runs, run_id)["run_id"]}, "pipeline_runtime": {"workflow_manifest": json.dumps(workflow)}}

    def archived_log(self, run_id, pod, query, body):
        return {"data": base64.b64encode(one(self.archive, pod).encode()).decode()}

    def live_log(self, run_id, pod, query, body):
        """KFP answers 200 before it knows whether there is a pod."""
        return self.pods.get(pod) or '{"error_message":"pods not found","error_details":"..."}'

    def create_schedule(self, query, body):
        check(body, "V2beta1RecurringRun")
        self._check_references(body)
        if len(body["trigger"]["cron_schedule"]["cron"].split()) != 6 or not 1 <= body["max_concurrency"] <= 10:
            raise Refusal(400, "Schedule cron is not a supported format")
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[body["mode"]]
        content = {**body, "max_concurrency": str(body["max_concurrency"]), "status": status}
        return self.new(self.schedules, "recurring_run_id", content)

    def switch_schedule(self, schedule_id, verb, query, body):
        one(self.schedules, schedule_id)["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[verb]
        return {}

    def delete_schedule(self, schedule_id, query, body):
        assert query == {"propagation_policy": "ORPHAN"}, "Kubernetes would delete the runs of this schedule"
        del self.schedules[one(self.schedules, schedule_id)["recurring_run_id"]]
        return {}

    def _check_references(self, body):
        one(self.experiments, body["experiment_id"])
        if "pipeline_spec" in body:
            return
        version = one(self.versions, body["pipeline_version_reference"]["pipeline_version_id"])
        assert version["pipeline_id"] == body["pipeline_version_reference"]["pipeline_id"]
        spec = version["pipeline_spec"].get("pipeline_spec", version["pipeline_spec"])
        unknown = body["runtime_config"].get("parameters", {}).keys() - spec["root"]["inputDefinitions"]["parameters"].keys()
        if unknown:
            raise Refusal(400, f"parameter {unknown} is not in the pipeline")


def one(shelf, key):
    if key not in shelf:
        raise Refusal(404, f"{key} not found")
    return shelf[key]


def page(shelf, name, query):
    """A page of what fits the filter, in the order that is asked for."""
    found = [item for item in shelf.values() if all(_fits(item, predicate) for predicate in _predicates(query.get("filter")))]
    key, _, direction = query.get("sort_by", "").partition(" ")
    if key:
        found.sort(key=lambda item: item[key], reverse=direction == "desc")
    start = int(query.get("page_token") or 0)
    end = start + min(int(query.get("page_size") or 20), PAGE)
    return {name: found[start:end], "total_size": len(found), **({"next_page_token": str(end)} if end < len(found) else {})}


def _predicates(text):
    """The predicates of a filter; JSON of protocol buffers also takes camel case, and an enumeration's numbers."""
    content = json.loads(text or "{}")
    for predicate in content.get("predicates", ()):
        if type(predicate["operation"]) is int:
            predicate["operation"] = models.V2beta1PredicateOperation.allowable_values[predicate["operation"]]
        if "stringValue" in predicate:
            predicate["string_value"] = predicate.pop("stringValue")
    check(content, "V2beta1Filter")
    return content.get("predicates", ())


def _fits(item, predicate):
    assert predicate["operation"] == "EQUALS", predicate
    return item.get(predicate["key"]) == predicate["string_value"]


def _of_pipeline(kfp, pipeline_id, query, body):
    return page({k: v for k, v in kfp.versions.items() if v["pipeline_id"] == pipeline_id}, "pipeline_versions", query)


ROUTES = {
    "GET /apis/v1beta1/healthz": lambda kfp, query, body: kfp.info,
    "GET /healthz": lambda kfp, query, body: {"multi_user": False},
    "GET /pipelines": lambda kfp, query, body: page(kfp.pipelines, "pipelines", query),
    "POST /pipelines": Kfp.create_pipeline,
    "GET /pipelines/([^/]+)/versions": _of_pipeline,
    "GET /pipelines/[^/]+/versions/([^/]+)": lambda kfp, key, query, body: one(kfp.versions, key),
    "POST /pipelines/upload_version": Kfp.upload_version,
    "GET /experiments": lambda kfp, query, body: page(kfp.experiments, "experiments", query),
    "POST /experiments": Kfp.create_experiment,
    "GET /runs": lambda kfp, query, body: page(kfp.runs, "runs", query),
    "POST /runs": Kfp.create_run,
    "GET /runs/([^/:]+)": Kfp.get_run,
    "POST /runs/([^/:]+):terminate": Kfp.terminate_run,
    "POST /runs/([^/:]+):retry": Kfp.retry_run,
    "GET /runs/([^/]+)/nodes/([^/]+)/artifacts/main-logs:read": Kfp.archived_log,
    "GET /apis/v1beta1/runs/([^/]+)": Kfp.get_run_v1,
    "GET /apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log": Kfp.live_log,
    "GET /recurringruns": lambda kfp, query, body: page(kfp.schedules, "recurringRuns", query),
    "POST /recurringruns": Kfp.create_schedule,
    "POST /recurringruns/([^/:]+):(enable|disable)": Kfp.switch_schedule,
    "DELETE /recurringruns/([^/:]+)": Kfp.delete_schedule,
}


@contextmanager
def serving():
    """Run a server on a free port of this machine, and yield its content, with its URL as `host`."""
    kfp = Kfp()

    class Handler(JsonHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # otherwise each answer waits 40 ms for an acknowledgement

        def handle_one_request(self):
            self.raw_requestline = self.rfile.readline()
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            request = f"{self.command} {self.path}"
            body = self._body()
            kfp.requests.append(request)
            kfp.headers.append(dict(self.headers))
            with kfp.busy:
                fault = kfp.fault(len(kfp.requests), request)
                away = 500, {"error": "the database is away"}
                status, content = away if fault in (500, "cut") else self._answer(body)
            if fault in ("cut", "mute"):
                self.close_connection = True
            else:
                self.send_content(status, content)

        def _body(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            if kind.startswith("multipart/"):
                message: EmailMessage = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw)
                return message.get_payload()[0].get_payload(decode=True).decode()
            return json.loads(raw) if raw else None

        def _answer(self, body):
            try:
                return 200, kfp.answer(self.command, self.path, body)
            except Refusal as refusal:
                return refusal.status, {"error": str(refusal), "code": 5, "message": str(refusal)}
            except (AssertionError, KeyError, ValueError) as error:
                return 400, {"error": f"{type(error).__name__}: {error}", "code": 3}

    with serving_http(Handler) as kfp.host:
        yield kfp
