"""`python -m components.params` is `kdflow params`."""

from components.params.explain import main

main()
