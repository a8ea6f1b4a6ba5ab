"""How a sub-command is added to `kdflow pipeline`."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def new_parser(commands: Commands, name: str, summary: str, examples: str) -> argparse.ArgumentParser:
    """Add the sub-command `name`, with a one-line `summary` and `examples` for its help; `%(prog)s` is the command itself."""
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
