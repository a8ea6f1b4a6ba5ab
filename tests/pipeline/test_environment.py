import os

import pytest

from pipeline.environment import apply_environment

OURS, THEIRS = "http://kdflow-mlflow:5000", "https://mlflow.platform.example.org"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Sets variables; whatever a test adds is gone afterwards."""
    umask = os.umask(0)  # as Kubeflow's launcher sets it
    before = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "KDFLOW_"))}
    monkeypatch.setattr(os, "environ", before)
    yield before.update
    os.umask(umask)


def test_variables_get_their_names_in_the_step_only(environment):
    environment({"KDFLOW_AWS_ACCESS_KEY_ID": "id", "KDFLOW_MLFLOW_TRACKING_URI": OURS, "KDFLOW_THREADS": "2"})
    apply_environment()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "id" and os.environ["MLFLOW_TRACKING_URI"] == OURS and "THREADS" not in os.environ


def test_ours_win_over_the_server_of_the_platform_and_its_run_is_left_alone(environment):
    injected = {"MLFLOW_TRACKING_URI": THEIRS, "MLFLOW_RUN_ID": "1", "MLFLOW_EXPERIMENT_ID": "2", "MLFLOW_TRACKING_TOKEN": "secret"}
    environment(injected | {"KDFLOW_MLFLOW_TRACKING_URI": OURS, "KDFLOW_MLFLOW_TRACKING_USERNAME": "me"})
    for _ in range(2):
        apply_environment()
        found = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
        assert found == {"MLFLOW_TRACKING_URI": OURS, "MLFLOW_TRACKING_USERNAME": "me"}


@pytest.mark.parametrize("ours", [{}, {"KDFLOW_MLFLOW_TRACKING_URI": f"{THEIRS}/"}])
def test_a_run_on_our_server_is_used(environment, ours):
    environment({"MLFLOW_TRACKING_URI": THEIRS, "MLFLOW_RUN_ID": "1", **ours})
    apply_environment()
    assert os.environ["MLFLOW_RUN_ID"] == "1" and os.environ["MLFLOW_TRACKING_URI"].startswith(THEIRS)


def test_files_are_written_by_their_owner_only(tmp_path):
    (tmp_path / "before").touch()
    apply_environment()
    (tmp_path / "checkpoint").touch()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("before", "checkpoint")] == [0o666, 0o644]
