"""How the benchmark of the server counts and times requests."""

import time

import pytest

from benchmarks.serving import Client, http_client, measure


def test_each_request_is_made_once_by_clients_of_their_own() -> None:
    clients: list[list[int]] = []

    def new_client() -> Client:
        calls: list[int] = []
        clients.append(calls)

        def call(index: int) -> None:
            calls.append(index)
            time.sleep(0.01)

        return call

    speed = measure(new_client, 10, 3)
    assert len(clients) == 3 and all(calls[0] == 0 for calls in clients), "the first call of each is not measured"
    assert sorted(index for calls in clients for index in calls[1:]) == list(range(10))
    assert 10 <= speed.median <= speed.p95 and 0 < speed.rate <= 300


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError):
        http_client(1, [b"x"])(0)
