"""Distinguish a fault of the network from a wrong address or wrong credentials, and try again after one."""

import functools
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from kd.errors import InputError

DELAYS = (5.0, 20.0, 60.0)
"""Seconds before each further attempt."""
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def retry_network_faults(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """Decorate a function that can be repeated: on a cluster, call it again after a fault of the network, which would end the run."""

    @functools.wraps(function)
    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Answer:
        for pause in DELAYS if "KDFLOW_CLUSTER" in os.environ else ():
            try:
                return function(*arguments, **options)
            except InputError as error:
                if not is_network_fault(error):
                    raise
                print(f"{error}; retrying in {pause:g} s", file=sys.stderr, flush=True)
                time.sleep(pause)
        return function(*arguments, **options)

    return call


def is_network_fault(error: Exception) -> bool:
    """Whether a cause of `error` is that a server could not be reached, broke the connection, or answered with a status of 500 or more."""
    unreachable = (ConnectionError, TimeoutError, socket.gaierror)
    return any(isinstance(cause, unreachable) or _status(cause) >= 500 for cause in exception_chain(error))


def exception_chain(error: BaseException | None) -> Iterator[Exception]:
    """`error` and what it was raised from or during, outermost first."""
    while isinstance(error, Exception):
        yield error
        error = error.__cause__ or error.__context__


def _status(error: Exception) -> int:
    """The HTTP status in an error of aiohttp, botocore or dulwich; 0 in others."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    named = re.match(r"unexpected http resp (\d+)", str(error))
    status = getattr(error, "status", None) or metadata.get("HTTPStatusCode") or (named and int(named[1]))
    return status if isinstance(status, int) else 0
