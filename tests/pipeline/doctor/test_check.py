"""Errors as results."""

import subprocess

from pipeline.doctor.check import Check, run_check


def test_any_other_error_becomes_a_fault():
    def fail():
        raise subprocess.SubprocessError("broken pipe\nand more")

    assert run_check("x", "repair it", fail) == Check("x", "fault", "broken pipe", "repair it")
