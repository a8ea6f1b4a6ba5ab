"""`python -m components.registry` is the command `kdflow`."""

from components.registry.commands import main

main()
