"""`python -m components.monitor` is the command `kdflow monitor`."""

from components.monitor.command import main

main()
