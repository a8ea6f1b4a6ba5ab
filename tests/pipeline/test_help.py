import subprocess
import sys

from tests.pipeline.conftest import ROOT

HELP = """
import sys
from pipeline.__main__ import main
for command in ("submit", "schedule", "schedules", "unschedule", "status"):
    try:
        main([command, "--help"])
    except SystemExit:
        assert "kfp" not in sys.modules, command
"""


def test_help_needs_no_kfp():
    assert "examples:" in subprocess.check_output((sys.executable, "-c", HELP), text=True, cwd=ROOT)
