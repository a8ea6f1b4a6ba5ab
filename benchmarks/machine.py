"""The class of machine that a measurement belongs to."""

import platform
from datetime import UTC, datetime
from pathlib import Path

import torch


def describe_machine() -> str:
    """Processor or GPU, threads, PyTorch's version and the date, in one line; no host names."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
