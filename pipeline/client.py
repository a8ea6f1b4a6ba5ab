"""The client of a KFP server: each request has a timeout, is sent once, and fails with a one-line error."""

import json
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import kfp
import urllib3
from kfp_server_api import ApiException

from components.runtime.text import mask_passwords, one_line
from kd.errors import InputError
from pipeline.server_error import ServerError
from pipeline.token_sources import TokenSource, find_token_source

TIMEOUT = (5, 60)
"""Seconds to connect, and to wait for the response."""
REMEDIES = {
    0: "check the address, and that the server is running",
    401: "set KF_PIPELINES_TOKEN to a valid token, KF_PIPELINES_TOKEN_COMMAND to a command that prints one, "
    "or KF_PIPELINES_SA_TOKEN_PATH to its file",
    403: "ask for access to this namespace, or choose another with --namespace",
    404: "check the id, and the address in KF_PIPELINES_ENDPOINT",
}


class ServerInfo(NamedTuple):
    """The server's version, such as "2.17.0" or "unknown", and whether it separates users by namespaces."""

    version: str
    is_multi_user: bool


class Client(kfp.Client):  # type: ignore[misc]
    """`kfp.Client` with the timeout `TIMEOUT`, without retries, and with tokens from `token_source`."""

    def __init__(self, host: str, token_source: TokenSource | None, **options: Any) -> None:
        self.token_source = token_source
        super().__init__(host, credentials=token_source, **options)

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Check the server's health. `kfp.Client` sends this request first, so timeout and retries are set here."""
        _configure_requests(self._healthz_api.api_client, self.token_source)
        return self._healthz_api.healthz_service_get_healthz()

    def get_text(self, path: str) -> str:
        """The answer to a request that `kfp.Client` has no method for."""
        api = self.runs.api_client
        api.call_api(path, "GET", header_params={"Accept": "*/*"}, auth_settings=["Bearer"])
        return str(api.last_response.data)

    def server_info(self) -> ServerInfo:
        """The server's version, and whether it is for several users; Kubeflow's user interface has other names for both."""
        try:
            answer = json.loads(self.get_text("/apis/v1beta1/healthz"))
        except ServerError as error:
            if error.status != 404:
                raise
            answer = {}
        version = answer.get("tag_name") or answer.get("apiServerTagName") or "unknown"
        return ServerInfo(str(version), bool(answer.get("multi_user") or answer.get("apiServerMultiUser")))

    def link(self, page: str) -> str:
        """The URL of a page of the user interface, such as `runs/details/...`, without passwords."""
        return mask_passwords(f"{self._get_url_prefix()}/#/{page}")


def connect(host: str | None, namespace: str, ui: str | None = None) -> Client:
    """Connect to the server at `host`, or at KF_PIPELINES_ENDPOINT.

    The token is that of `pipeline.token_sources`; KF_PIPELINES_COOKIES is sent as the header Cookie, and the certificates in the file
    KF_PIPELINES_CA_BUNDLE are trusted.

    Args:
        host: the server's URL.
        namespace: the user's namespace; single-user servers ignore it.
        ui: the URL of the user interface for links, if it is another; KF_PIPELINES_UI_ENDPOINT replaces it.

    Raises:
        InputError: if there is no URL, or the file of certificates is missing.
        ServerError: if there is no KFP server at this URL.
    """
    host = host or os.environ.get("KF_PIPELINES_ENDPOINT")
    if not host:
        raise InputError("KF_PIPELINES_ENDPOINT", "is not set", "set it to the URL of your KFP server, or give --host")
    if not host.startswith(("http://", "https://")):
        raise InputError("KF_PIPELINES_ENDPOINT", f"'{mask_passwords(host)}' is not a URL", f"write https://{mask_passwords(host)}")
    bundle = os.environ.get("KF_PIPELINES_CA_BUNDLE")
    if bundle and not Path(bundle).is_file():
        raise InputError(bundle, "is missing", "correct KF_PIPELINES_CA_BUNDLE")
    cookies = os.environ.get("KF_PIPELINES_COOKIES")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that it supports only servers of version 2
        client = Client(host, find_token_source(), namespace=namespace, cookies=cookies, ssl_ca_cert=bundle, ui_host=ui)
    client.get_kfp_healthz()
    return client


def _configure_requests(api: Any, tokens: TokenSource | None) -> None:
    """Make every request of `api` time out, not retry unless the token has expired, and raise a `ServerError` if it fails."""
    rest, host = api.rest_client, mask_passwords(api.configuration.host)
    send = type(rest).request.__get__(rest)  # the original, even if this is called twice
    rest.pool_manager.connection_pool_kw["retries"] = False

    def request(*args: Any, _request_timeout: Any = None, **kwargs: Any) -> Any:
        options = {**kwargs, "_request_timeout": _request_timeout or TIMEOUT}
        try:
            try:
                response = send(*args, **options)
            except ApiException as error:
                if not (tokens and tokens.is_kept and _is_refused(error)):
                    raise
                tokens.invalidate()
                tokens.refresh_api_key_hook(api.configuration)  # which masks the token in messages, too
                response = send(*args, **options | {"headers": {**kwargs["headers"], "authorization": f"Bearer {tokens.token()}"}})
        except ApiException as error:
            raise _server_error(host, error, api.configuration.api_key.get("authorization")) from None
        except urllib3.exceptions.HTTPError as error:
            raise ServerError(host, 0, f"does not answer ({_cause(error)})", REMEDIES[0]) from None
        is_log = str(kwargs.get("url") or args[1]).endswith("/log")
        if response.data.lstrip().startswith(b"<") if is_log else not response.data.lstrip().startswith(b"{"):
            raise ServerError(host, response.status, "answers with a page instead of JSON", "give the URL of KFP's API, and a token")
        return response

    rest.request = request


def _is_refused(error: ApiException) -> bool:
    """Whether the server refuses the token; a proxy in front of it then redirects to a login page."""
    return error.status == 401 or 300 <= int(error.status or 0) < 400


def _server_error(host: str, error: ApiException, token: str | None) -> ServerError:
    status = int(error.status or 0)
    if 300 <= status < 400:
        return ServerError(host, status, "redirects to a login page or another address", REMEDIES[401] + "; check http and https")
    message = _message(error).replace(token, "***") if token else _message(error)
    remedy = REMEDIES.get(status) or ("try again" if status >= 500 else "correct the request")
    return ServerError(host, status, f"answers {status or 'nothing'}: {message}", remedy)


def _message(error: ApiException) -> str:
    """The server's error message, extracted from JSON if it is JSON."""
    text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else error.body or str(error.reason)
    try:
        content = json.loads(text)
        text = next(str(content[key]) for key in ("message", "error", "error_message") if content.get(key))
    except (ValueError, AttributeError, StopIteration):
        pass
    return one_line(Exception(" ".join(text.split())))


def _cause(error: Exception) -> str:
    """The message of the innermost error, without the name of urllib3's object in front."""
    inner = error.args[-1] if error.args and isinstance(error.args[-1], Exception) else error
    return one_line(inner).rpartition(": ")[2]
