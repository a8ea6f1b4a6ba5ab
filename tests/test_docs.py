"""What the documentation tells a reader to type exists."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}
COMMANDS = sorted({found.strip() for text in TEXT.values() for found in re.findall(r"python -m pipeline ([a-z][^`\n#]*)", text)})
TARGETS = {found for text in TEXT.values() for found in re.findall(r"(?:`|^)make ([a-z]+)", text, flags=re.MULTILINE)}


def test_something_is_documented() -> None:
    assert {command.split()[0] for command in COMMANDS} >= {"compile", "run", "submit", "schedule", "schedules", "unschedule", "status"}


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """The `--help` of each command."""
    names = {command.split()[0] for command in COMMANDS}
    starting = {
        name: subprocess.Popen([sys.executable, "-m", "pipeline", name, "--help"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for name in names
    }
    return {name: process.communicate()[0] for name, process in starting.items()}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_their_options_exist(command: str, helps: dict[str, str]) -> None:
    name, *words = shlex.split(command)
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert f"usage: python -m pipeline {name}" in helps[name]
    assert {option for option in options if not re.search(rf"{option}\b", helps[name])} == set()


def test_make_targets_exist() -> None:
    assert set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)) >= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT[page]) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
