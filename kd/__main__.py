"""The command `kd`, also `python -m kd`."""

from collections.abc import Sequence

from kd.errors import handle_errors
from kd.threads import configure_threads


@handle_errors
def main(arguments: Sequence[str] | None = None) -> None:
    """Choose the number of threads, then load the libraries and run the command line."""
    configure_threads()
    from kd import cli

    cli.main(arguments)


if __name__ == "__main__":
    main()
