import time

import pytest

from components.runtime.recorder import BackgroundRecorder


def test_a_failed_task_causes_a_warning_and_the_next_task_runs(capsys: pytest.CaptureFixture[str]) -> None:
    recorder, done = BackgroundRecorder(), []
    recorder.submit(lambda: 1 / 0)
    recorder.submit(lambda: done.append(1))
    assert recorder.flush(5)
    assert done == [1]
    assert capsys.readouterr().err == "tracking: division by zero; the step goes on\n"
    recorder.submit(lambda: time.sleep(0.5))
    assert not recorder.flush(0.01)
    recorder.close()


def test_a_warning_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    recorder = BackgroundRecorder()
    for message in ("first", "second", "first"):
        recorder.warn(message)
    recorder.close()
    assert capsys.readouterr().err.splitlines() == ["tracking: first; the step goes on", "tracking: second; the step goes on"]
