"""All checks together, in a terminal and in a file."""

import io
import re

from rich.console import Console

from pipeline.doctor.check import Check
from pipeline.doctor.command import doctor_table
from tests.pipeline.doctor.conftest import checks
from tests.pipeline.kubernetes_server import use_kubeconfig


def test_everything_is_in_order_and_no_value_is_shown(cluster, kfp, command):
    command("schedule", "--cron", "@weekly")
    done = command("doctor")
    assert done.code == 0, done.out
    assert {check.state for check in checks().values()} == {"ok"}
    for part in (
        "version 2.17.0, for several users",
        "has AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
        "is bound, ReadWriteMany",
        "'kdflow'",
    ):
        assert part in done.out
    assert "the-key" not in done.out and "the-id" not in done.out and "fault  " not in done.out
    assert "use --in-cluster" in done.out, "what only a pod sees is marked"


def test_a_table_in_a_terminal():
    screen = io.StringIO()
    Console(file=screen, force_terminal=True, width=99).print(doctor_table([Check("[claim]", "fault", "is Pending", "wait")]))
    assert re.search(r"\[claim\].*fault.*is Pending.*wait", screen.getvalue())


def test_without_a_kubeconfig_the_rest_is_checked(kfp, command, monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    use_kubeconfig(monkeypatch, tmp_path / "none")
    done = command("doctor")
    assert done.code == 0 and "no kubeconfig" in done.out and "version 2.17.0" in done.out
