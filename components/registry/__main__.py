"""`python -m components.registry` is the command `kdflow`."""

from components.registry.cli import main

main()
