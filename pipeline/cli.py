"""What the commands share: how each is added to `python -m pipeline`."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def new_parser(commands: Commands, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """Add the command `name`: a line of `summary` for the list of commands, and `examples` below its own help."""
    return commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
