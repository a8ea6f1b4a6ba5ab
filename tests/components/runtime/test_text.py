import pytest

from components.runtime.text import mask_passwords, one_line


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
