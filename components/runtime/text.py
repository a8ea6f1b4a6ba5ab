"""Helpers for messages: error messages in one line, URLs without passwords."""

import re

MAX_LENGTH = 300


def one_line(error: Exception) -> str:
    """The first line of an error's message, at most `MAX_LENGTH` characters long and without passwords."""
    return mask_passwords((str(error) or type(error).__name__).strip().partition("\n")[0])[:MAX_LENGTH]


def mask_passwords(text: str) -> str:
    """Replace the user name and password in every URL in `text` by `***`."""
    return re.sub(r"://[^\s'\"]*@", "://***@", text)
