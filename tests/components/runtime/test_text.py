import pytest

from components.runtime.text import mask_passwords, one_line, quote_filter
from kd.errors import InputError


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://host/path", "http://host/path"),
        ("API request to https://user:pass@host:5000/api failed", "API request to https://***@host:5000/api failed"),
        ("postgresql://user:p/w@rd@host/db", "postgresql://***@host/db"),
        ("s3://bucket/key", "s3://bucket/key"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_passwords(text) == masked


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError(), "ValueError"),
        (ValueError("no https://user:pass@host"), "no https://***@host"),
        (ValueError("x" * 400), "x" * 300),
    ],
)
def test_an_error_is_described_in_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


@pytest.mark.parametrize(("value", "quoted"), [("a", "'a'"), ("it's", '"it\'s"'), ('a "b"', "'a \"b\"'")])
def test_strings_in_filters_are_quoted(value: str, quoted: str) -> None:
    assert quote_filter(value) == quoted


def test_both_kinds_of_quotes_are_refused() -> None:
    with pytest.raises(InputError, match="has single and double quotes"):
        quote_filter('it\'s "x"')
