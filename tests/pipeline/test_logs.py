import re

import pytest

from pipeline import logs, submit
from tests.pipeline.runs import at, ended, pod_of, workflow_of

USER_ERROR = "I1123 launcher starts\nepoch 1\nerror: data: is empty; add pictures\nF1123 launcher: exit status 1\n"


@pytest.fixture
def failed(kfp, command, monkeypatch):
    """A run whose step train failed three times; the log of its second attempt is neither archived nor in a pod."""
    monkeypatch.setattr(submit, "PAUSE", 0)
    command("submit")
    (run_id,) = kfp.runs
    kfp.runs[run_id] |= at("FAILED", prepare=ended(), train=ended("FAILED"))
    kfp.workflows = [workflow_of(prepare=["Succeeded"], train=["Failed", "Error", "Failed"], evaluate=[])]
    kfp.archive |= {pod_of("prepare", 0): "prepared\n", pod_of("train", 0): "first attempt\n", pod_of("train", 2): USER_ERROR}
    return run_id


def test_the_log_of_the_last_attempt_or_of_another(kfp, command, failed):
    assert command("logs", failed, "train").out == USER_ERROR
    assert command("logs", failed, "train", "--attempt", "1").out == "first attempt\n"
    assert command("logs", failed, "prepare").out == "prepared\n"
    absent = command("logs", failed, "train", "--attempt", "4")
    assert absent.code == 2 and "train has 3 attempts, not 4; give 1 to 3" in absent.err


def test_a_log_that_is_gone_and_a_step_without_one(kfp, command, failed):
    gone = command("logs", failed, "train", "--attempt", "2")
    assert gone.code == 2 and "the log is neither archived nor in a pod" in gone.err and gone.out == ""
    assert "has no log in this run" in command("logs", failed, "evaluate").err


def test_an_ended_step_without_archive_is_read_from_its_pod(kfp, command, failed):
    kfp.pods[pod_of("train", 1)] = "still here\n"
    assert command("logs", failed, "train", "--attempt", "2").out == "still here\n"


def test_follow_prints_each_line_once_and_ends_with_the_step(kfp, command, monkeypatch):
    monkeypatch.setattr(logs, "PAUSE", 0)
    command("submit")
    (run_id,) = kfp.runs
    pod = pod_of("train", 0)
    kfp.workflows = [workflow_of(train=[state]) for state in ("Running", "Running", "Succeeded")]
    texts = iter(["epoch 1\n", "epoch 1\nepoch 2\n"])
    kfp.pods = type("Growing", (dict,), {"get": lambda self, key: next(texts) if key == pod else None})()
    kfp.archive[pod] = "epoch 1\nepoch 2\nepoch 3\n"
    shown = command("logs", run_id, "train", "--follow")
    assert (shown.code, shown.out) == (0, "epoch 1\nepoch 2\nepoch 3\n")


def test_follow_waits_for_the_archive_if_kfp_shows_no_log_of_a_running_pod(kfp, command, monkeypatch):
    monkeypatch.setattr(logs, "PAUSE", 0)
    command("submit")
    (run_id,) = kfp.runs
    pod = pod_of("train", 0)
    kfp.workflows = [workflow_of(train=[state]) for state in ("Running", "Running", "Running", "Succeeded")]
    kfp.archive[pod] = "epoch 1\n"
    refused = command("logs", run_id, "train")
    assert (
        refused.code == 2 and f"KFP does not show the log of a pod that runs ({pod}); wait for its end, or use kubectl logs" in refused.err
    )
    shown = command("logs", run_id, "train", "--follow")
    assert (shown.code, shown.out) == (0, "epoch 1\n") and shown.err.count("KFP does not show") == 1


def test_status_prints_the_error_line_of_the_failed_step(kfp, command, failed):
    shown = command("status", failed)
    assert "train failed: data: is empty; add pictures\n" in shown.out
    assert f"Logs:  kdflow pipeline logs {failed} STEP" in shown.out and "kubectl" not in shown.out


def test_status_prints_the_error_line_of_a_step_whose_log_is_gone(kfp, command, failed):
    del kfp.archive[pod_of("train", 2)]
    (workflow,) = kfp.workflows
    workflow["status"]["nodes"]["kdflow-x-train2"]["message"] = "main: Error (exit code 1): error: data: is empty; add pictures\n"
    assert "train failed: data: is empty; add pictures\n" in command("status", failed).out


def test_status_prints_the_exception_of_the_failed_step(kfp, command, failed):
    kfp.archive[pod_of("train", 2)] = "Traceback (most recent call last):\n  File ...\nZeroDivisionError: by zero\nF1123 exit status 1\n"
    assert "train failed: ZeroDivisionError: by zero\n" in command("status", failed).out


def test_status_of_a_step_that_left_no_error_line(kfp, command, failed):
    kfp.archive.clear()
    assert re.search("train failed: ended without an error message", command("status", failed).out)


def test_status_prints_why_kubeflow_could_not_start_a_step(kfp, command, failed):
    kfp.runs[failed] |= at("FAILED", prepare=ended(), train_driver=ended("FAILED"))
    kfp.workflows = [workflow_of(driver="Failed", prepare=["Succeeded"], train=[])]
    last = "F1128 main.go:127] KFP driver: driver.Container(name=kdflow, spec) failed: failed to resolve inputs: two tasks\n"
    kfp.archive["kdflow-x-system-container-driver-trainD"] = f"I1128 starts\n{last}Error: exit status 1\n"
    assert "train failed: failed to resolve inputs: two tasks\n" in command("status", failed).out
    assert last in command("logs", failed, "train").out
