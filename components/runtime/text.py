"""Helpers for text: error messages in one line, URLs without passwords, filters of MLflow."""

import re

from kd.errors import InputError

MAX_LENGTH = 300


def one_line(error: Exception) -> str:
    """The first line of an error's message, at most `MAX_LENGTH` characters long and without passwords."""
    return mask_passwords((str(error) or type(error).__name__).strip().partition("\n")[0])[:MAX_LENGTH]


def mask_passwords(text: str) -> str:
    """Replace the user name and password in every URL in `text` by `***`."""
    return re.sub(r"://[^\s'\"]*@", "://***@", text)


def quote_filter(value: str) -> str:
    """A string for the filter of a search in MLflow.

    Raises:
        InputError: if it has both kinds of quotes, which MLflow cannot express.
    """
    if "'" in value and '"' in value:
        raise InputError(value, "has single and double quotes", "use only one kind in names")
    return f'"{value}"' if "'" in value else f"'{value}'"
