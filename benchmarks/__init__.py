"""Measurements that a reader can repeat; each prints the class of machine that it ran on."""

import os

from kd.errors import clean_exit
from kd.memory import keep_freed_memory
from kd.threads import configure_threads

with clean_exit():
    configure_threads()  # before a benchmark loads torch
keep_freed_memory()  # as a step does
os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # torch's profiler reports each start and stop
