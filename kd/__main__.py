"""The command `kd`, also `python -m kd`."""

from collections.abc import Sequence

from kd.errors import clean_exit
from kd.threads import configure_threads


@clean_exit()
def main(arguments: Sequence[str] | None = None) -> None:
    """Choose the number of threads, then load the libraries and run the command line."""
    configure_threads()
    from kd import cli

    cli.main(arguments)


if __name__ == "__main__":
    main()
