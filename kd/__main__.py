"""`python -m kd` is the command `kd`."""

from kd.cli import main

main()
