"""The connection to a KFP server: every request has a time limit, is sent once, and fails in one line."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import kfp
import urllib3
from kfp.client import ServiceAccountTokenVolumeCredentials
from kfp_server_api import ApiException

from components.runtime.recorder import mask_passwords, one_line
from kd.errors import InputError

TIMEOUT = (5, 60)
"""Seconds to connect, and to wait for an answer."""
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"
REMEDIES = {
    0: "check the address, and that the server runs",
    401: "give a fresh token in KF_PIPELINES_TOKEN, or its file in KF_PIPELINES_SA_TOKEN_PATH",
    403: "ask for the right to use this namespace, or name another with --namespace",
    404: "check the id, and the address in KF_PIPELINES_ENDPOINT",
}


class ServerError(InputError):
    """The server did not do what it was asked.

    Args:
        where: the server's address.
        status: its HTTP status; 0 where no answer of KFP came.
        problem: what is wrong.
        remedy: what to do about it.
    """

    def __init__(self, where: str, status: int, problem: str, remedy: str) -> None:
        super().__init__(where, problem, remedy)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in (0, 408, 429) or self.status >= 500


class Client(kfp.Client):  # type: ignore[misc]
    """`kfp.Client` that asks once where that one asks up to five times, and waits no longer than `TIMEOUT`."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Ask how the server is: the first request of every client, be it the constructor's or ours; from here on the limits hold."""
        _limit(self._healthz_api.api_client)
        return self._healthz_api.healthz_service_get_healthz()

    def link(self, place: str) -> str:
        """The address of a page of the user interface, such as `runs/details/...`, without passwords."""
        return mask_passwords(f"{self._get_url_prefix()}/#/{place}")


def connect(host: str | None, namespace: str) -> Client:
    """Connect to the server at `host`, or at KF_PIPELINES_ENDPOINT.

    The token comes from KF_PIPELINES_TOKEN or from the service account's file, further certificates from KF_PIPELINES_CA_BUNDLE.

    Args:
        host: address of the server.
        namespace: the user's namespace; servers for a single user ignore it.

    Raises:
        InputError: if there is no address, or no file of certificates where one is named.
        ServerError: if no KFP server answers there.
    """
    host = host or os.environ.get("KF_PIPELINES_ENDPOINT")
    if not host:
        raise InputError("KF_PIPELINES_ENDPOINT", "is not set", "set it to the address of your KFP server, or give --host")
    if not host.startswith(("http://", "https://")):
        raise InputError("KF_PIPELINES_ENDPOINT", f"'{mask_passwords(host)}' is no address", f"write https://{mask_passwords(host)}")
    bundle = os.environ.get("KF_PIPELINES_CA_BUNDLE")
    if bundle and not Path(bundle).is_file():
        raise InputError(bundle, "is missing", "mend KF_PIPELINES_CA_BUNDLE")
    token = os.environ.get("KF_PIPELINES_TOKEN")
    token_file = Path(os.environ.get("KF_PIPELINES_SA_TOKEN_PATH", TOKEN_FILE))
    credentials = ServiceAccountTokenVolumeCredentials(str(token_file)) if not token and token_file.is_file() else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it speaks to servers of version 2 only
        client = Client(host, namespace=namespace, existing_token=token, credentials=credentials, ssl_ca_cert=bundle)
    client.get_kfp_healthz()
    return client


def _limit(api: Any) -> None:
    """Give every request of `api` the time limit, no silent repetition, and our errors."""
    rest, host = api.rest_client, mask_passwords(api.configuration.host)
    send = type(rest).request.__get__(rest)  # the original, also the second time
    rest.pool_manager.connection_pool_kw["retries"] = False

    def request(*args: Any, _request_timeout: Any = None, **kwargs: Any) -> Any:
        try:
            answer = send(*args, _request_timeout=_request_timeout or TIMEOUT, **kwargs)
        except ApiException as error:
            raise _refused(host, error, api.configuration.api_key.get("authorization")) from None
        except urllib3.exceptions.HTTPError as error:
            raise ServerError(host, 0, f"does not answer ({_cause(error)})", REMEDIES[0]) from None
        if not answer.data.lstrip().startswith(b"{"):
            raise ServerError(host, answer.status, "answers with a page, not as KFP's API does", "give the API's address, and a token")
        return answer

    rest.request = request


def _refused(host: str, error: ApiException, token: str | None) -> ServerError:
    status = int(error.status or 0)
    if 300 <= status < 400:
        return ServerError(host, status, "redirects, to a login page or another address", REMEDIES[401] + "; check http and https")
    said = _said(error).replace(token, "***") if token else _said(error)
    remedy = REMEDIES.get(status) or ("try again" if status >= 500 else "mend what it names")
    return ServerError(host, status, f"answers {status or 'nothing'}: {said}", remedy)


def _said(error: ApiException) -> str:
    """The server's words, out of KFP's JSON where it is that."""
    text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or str(error.reason)
    try:
        content = json.loads(text)
        text = next(str(content[key]) for key in ("message", "error", "error_message") if content.get(key))
    except (ValueError, AttributeError, StopIteration):
        pass
    return one_line(Exception(" ".join(text.split())))


def _cause(error: Exception) -> str:
    """The innermost words of urllib3's error, without the object that it names first."""
    inner = error.args[-1] if error.args and isinstance(error.args[-1], Exception) else error
    return one_line(inner).rpartition(": ")[2]
