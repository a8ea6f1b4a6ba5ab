"""The server's version, users, schedules and token."""

import base64
import json
import time


def test_a_schedule_of_an_older_server_is_a_fault_until_it_is_made_anew(cluster, kfp, command):
    command("schedule", "--cron", "@weekly")
    kfp.info["tag_name"] = "2.18.1"
    done = command("doctor")
    assert done.code == 1 and "'kdflow' of 2.17.0" in done.out
    assert "replaced" in command("schedule", "--cron", "@weekly").out
    assert command("doctor").code == 0


def test_an_old_server_and_one_that_hides_its_version(cluster, kfp, command):
    kfp.info["tag_name"] = "2.5.0"
    done = command("doctor")
    assert done.code == 1 and "upgrade Kubeflow Pipelines to 2.17" in done.out
    kfp.info = {"apiServerTagName": "2.17.1", "apiServerMultiUser": True}
    assert "version 2.17.1, for several users" in command("doctor").out
    kfp.info = {}
    done = command("doctor")
    assert done.code == 0 and "version 'unknown'" in done.out


def test_a_server_for_a_single_user_has_another_account(cluster, kfp, command):
    kfp.info["multi_user"] = False
    done = command("doctor")
    assert done.code == 0 and "usually has pipeline-runner" in done.out


def test_a_server_that_is_away_is_a_fault_and_no_address_is_bad_input(cluster, kfp, command, monkeypatch):
    kfp.fault = lambda number, request: "cut"
    done = command("doctor")
    assert done.code == 1 and "does not answer" in done.out and "is bound" in done.out
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT")
    assert command("doctor").code == 2


def test_a_token_that_cannot_be_renewed(cluster, kfp, command, monkeypatch):
    payload = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + 3000}).encode()).decode()
    monkeypatch.setenv("KF_PIPELINES_TOKEN", f"x.{payload}.x")
    done = command("doctor")
    assert done.code == 0 and "expires in 49 min" in done.out and payload not in done.out
