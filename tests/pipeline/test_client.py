import socket
from threading import Thread

import pytest

from kd.errors import InputError
from pipeline import client as client_module
from pipeline.client import ServerError, connect

USER = "kubeflow-user"


def refusal(*arguments):
    with pytest.raises(InputError) as caught:
        connect(*arguments)
    return caught.value


@pytest.fixture
def answering(monkeypatch):
    """A server with the same answer to every request; for an empty answer it does not respond."""
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(client_module, "TIMEOUT", (1, 0.2))

    def start(answer):
        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.recv(65536)
                if answer:
                    connection.sendall(answer)
                    connection.close()
                else:
                    silent.append(connection)

        silent = []
        threads.append(Thread(target=serve))
        threads[0].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    threads = []
    yield start
    listener.shutdown(socket.SHUT_RDWR)
    threads[0].join()
    listener.close()


def http(status, body, *headers):
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", body)).encode()


def test_the_environment_says_where_and_who(kfp, monkeypatch, tmp_path):
    assert connect(None, USER).get_user_namespace() == USER
    assert "Authorization" not in kfp.headers[-1]
    token = tmp_path / "token"
    token.write_text("from-file")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(token))
    client = connect(None, USER)
    assert kfp.headers[-1]["authorization"] == "Bearer from-file"
    token.write_text("renewed")
    client.list_runs()
    assert kfp.headers[-1]["authorization"] == "Bearer renewed"
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "from-environment")
    connect(None, USER)
    assert kfp.headers[-1]["authorization"] == "Bearer from-environment"


def test_without_a_namespace_the_server_is_asked_once_more_but_not_for_ever(kfp):
    kfp.fault = lambda number, request: 500
    assert "answers 500: the database is away" in str(refusal(None, "kubeflow"))
    assert len(kfp.requests) == 1


def test_no_address(monkeypatch):
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    assert str(refusal(None, USER)).startswith("KF_PIPELINES_ENDPOINT: is not set")
    assert "write https://kfp.example.org" in str(refusal("kfp.example.org", USER))


def test_missing_certificates(kfp, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_CA_BUNDLE", "/no/ca.pem")
    assert str(refusal(None, USER)).startswith("/no/ca.pem: is missing")


def test_nobody_listens(capfd):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = refusal(f"http://me:secret@127.0.0.1:{port}", USER)
    assert error.status == 0 and error.is_transient
    assert "Connection refused" in str(error) and "\n" not in str(error)
    assert "secret" not in str(error) and capfd.readouterr() == ("", "")


def test_a_server_that_is_silent(answering):
    assert "does not answer (Read timed out" in str(refusal(answering(b""), USER))


def test_no_encryption_where_it_is_expected(answering):
    error = refusal(answering(http("400 Bad Request", "")).replace("http", "https"), USER)
    assert error.status == 0 and "SSLError" in str(error)


@pytest.mark.parametrize(
    "answer, words, transient",
    [
        (http("200 OK", "<html>Sign in</html>"), "answers with a page", False),
        (http("302 Found", "", "Location: https://login.example.org"), "redirects to a login page", False),
        (http("401 Unauthorized", "who are you"), "answers 401: who are you; set KF_PIPELINES_TOKEN to a valid token", False),
        (http("403 Forbidden", '{"error": "not yours"}'), "answers 403: not yours; ask for access", False),
        (http("503 Service Unavailable", "<h1>down</h1>\nfor repair"), "answers 503: <h1>down</h1> for repair; try again", True),
        (http("500 Oops", '{"message": "token T0KEN at http://a:b@c is\\nbad"}'), "answers 500: token *** at http://***@c is bad", True),
    ],
)
def test_other_answers_than_kfps(answering, monkeypatch, answer, words, transient):
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "T0KEN")
    error = refusal(answering(answer), USER)
    assert isinstance(error, ServerError) and words in str(error) and error.is_transient == transient


def test_links_show_no_password(kfp, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://me:secret@kfp.example.org/pipeline")
    assert connect(None, USER).link("runs/details/1") == "https://***@kfp.example.org/pipeline/#/runs/details/1"


def test_a_server_error_says_whether_it_passes():
    assert [ServerError("h", status, "p", "r").is_transient for status in (0, 429, 500, 503, 401, 404)] == [True] * 4 + [False] * 2
