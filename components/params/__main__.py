"""The command `python -m components.params`."""

from components.params.explain import main

main()
