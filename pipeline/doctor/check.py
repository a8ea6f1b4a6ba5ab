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


def attempt(name: str, missing: str, check: Callable[[], Check]) -> Check:
    """The result of `check`, or of the error that it raises. If the server lacks the object, it is a fault with the remedy `missing`."""
    try:
        return check()
    except ApiException as error:
        if error.status == 404:
            return Check(name, "fault", "does not exist", missing)
        return Check(name, "unknown", f"Kubernetes answers {error.status} {error.reason}", "ask for read access, or use --in-cluster")
    except urllib3.exceptions.HTTPError as error:
        return Check(name, "unknown", f"Kubernetes does not answer ({type(error).__name__})", "check your kubeconfig")
    except ServerError as error:
        return Check(name, "fault", error.args[1], error.args[2])
    except InputError as error:
        return Check(name, "fault", f"{error.args[0]}: {error.args[1]}", error.args[2])
    except Exception as error:  # MLflow, git, DVC and their HTTP clients share no base class
        return Check(name, "fault", one_line(error), missing)
