"""Measurements that a reader can repeat; each prints the class of machine that it ran on."""

import os

from kd.errors import clean_exit
from kd.threads import configure_threads

with clean_exit():
    configure_threads()  # before a benchmark loads torch
os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's profiler reports each start and stop
