"""`python -m components.registry` is the command `kdflow registry`."""

from components.registry.commands import main

main()
