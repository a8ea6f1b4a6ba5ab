import io

import pytest

from kd.progress import Progress, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("kd.progress.time.monotonic", clock)
    return clock


def test_a_log_gets_a_plain_line_in_each_interval(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("train", 100, every=15, stream=stream)
    for _ in range(40):
        clock.now += 1
        progress.advance(2, lambda: "loss 0.50")
    assert stream.getvalue().splitlines() == [
        "train 30/100 pictures, 2.0/s, 0:35 left  loss 0.50",
        "train 60/100 pictures, 2.0/s, 0:20 left  loss 0.50",
    ]


def test_a_log_gets_a_last_line_unless_the_work_was_short(clock: Clock) -> None:
    short, long = io.StringIO(), io.StringIO()
    for stream, seconds in ((short, 1), (long, 3)):
        progress = Progress("train", 6, stream=stream)
        clock.now += seconds
        progress.advance(6)
        progress.close()
    assert short.getvalue() == ""
    assert long.getvalue() == "train 6/6 pictures, 2.0/s, 0:00 left\n"


def test_a_terminal_gets_one_line_that_is_redrawn(clock: Clock) -> None:
    stream = Terminal()
    progress = Progress("train", 10, "steps", stream=stream)
    for _ in range(10):
        clock.now += 0.06
        progress.advance()
    progress.close()
    drawn = stream.getvalue().split("\r\033[K")[1:]
    assert len(drawn) == 6  # ten times a second at most, and once at the end
    assert drawn[0].startswith("[####................] train 2/10 steps, 16.7/s")
    assert drawn[-1] == "[####################] train 10/10 steps, 16.7/s, 0:00 left\n"


@pytest.mark.parametrize(("stream", "cleared"), [(io.StringIO(), ""), (Terminal(), "\r\033[K")])
def test_a_written_line_replaces_the_bar(clock: Clock, stream: io.StringIO, cleared: str) -> None:
    Progress("train", 10, stream=stream).write("warning: too hot")
    assert stream.getvalue() == f"{cleared}warning: too hot\n"


def test_long_times_are_readable(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress("train", 1000, stream=stream)
    clock.now += 15
    progress.advance(0)
    clock.now += 15
    progress.advance(5)
    assert "0.0/s, ? left" in stream.getvalue() and "0.2/s, 1:39:30 left" in stream.getvalue()


def test_track_yields_all_items_and_ends_the_line_also_after_an_error(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    assert list(track(iter([1, 2, 3]), "read", 3)) == [1, 2, 3]
    assert stream.getvalue().endswith("3/3 pictures, 3000000.0/s, 0:00 left\n")
    with pytest.raises(ZeroDivisionError):
        list(track((1 // n for n in (1, 0)), "read", 2))
    assert stream.getvalue().endswith("left\n") and stream.getvalue().count("\n") == 2


def test_what_is_not_enabled_shows_nothing(clock: Clock) -> None:
    for stream in (Terminal(), io.StringIO()):
        progress = Progress("train", 6, stream=stream, enabled=False)
        clock.now += 30
        progress.advance(6)
        progress.close()
        assert stream.getvalue() == ""
