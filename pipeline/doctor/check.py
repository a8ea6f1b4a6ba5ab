"""The result of a check, and how errors become results."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import urllib3
from kubernetes.client import ApiException

from components.runtime.text import one_line
from kd.errors import InputError
from pipeline.server_error import ServerError

State = Literal["ok", "warning", "fault", "unknown"]


class Check(NamedTuple):
    """The result of a check.

    Args:
        name: what was checked.
        state: "fault" if runs fail, "warning" if they work with a limitation, "unknown" if it cannot be seen from here.
        detail: what was found, without values of secrets.
        remedy: what to do about a fault or warning, or how to see what is unknown.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""


def run_check(name: str, remedy: str, check: Callable[[], Check]) -> Check:
    """The result of `check`, or of the error that it raises; `remedy` is for errors without one, such as that an object is missing."""
    try:
        return check()
    except Exception as error:  # MLflow, git, DVC and their HTTP clients share no base class
        return failed_check(name, remedy, error)


def failed_check(name: str, remedy: str, error: Exception) -> Check:
    """The result of a check that raised `error`; see `run_check`."""
    if isinstance(error, ApiException):
        if error.status == 404:
            return Check(name, "fault", "does not exist", remedy)
        return Check(name, "unknown", f"Kubernetes answers {error.status} {error.reason}", "ask for read access, or use --in-cluster")
    if isinstance(error, urllib3.exceptions.HTTPError):
        return Check(name, "unknown", f"Kubernetes does not answer ({type(error).__name__})", "check your kubeconfig")
    if isinstance(error, ServerError):
        return Check(name, "fault", error.args[1], error.args[2])
    if isinstance(error, InputError):
        return Check(name, "fault", f"{error.args[0]}: {error.args[1]}", error.args[2])
    return Check(name, "fault", one_line(error), remedy)
