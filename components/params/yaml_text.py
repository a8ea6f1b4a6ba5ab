"""Parse YAML within limits, because a short text can have a content of any size: by aliases of aliases, or as one huge number."""

from typing import Any

import yaml

SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader, in C if PyYAML was built with it."""
MAX_LENGTH = 2_000_000
"""The most characters of a text."""
MAX_NODES, MAX_DEPTH = 50_000, 50
"""The most values, counted again for each alias of them, and the most levels of lists and mappings in each other."""
MAX_NUMBER = 1000
"""The most characters of a value without quotes, which may be a number."""


def parse_yaml(text: str, loader: Any = SafeLoader) -> Any:
    """The content of `text`.

    Raises:
        yaml.YAMLError: if it is not YAML, repeats a key in a mapping, or is beyond the limits.
    """
    _check_limits(text)
    try:
        return yaml.load(text, _refuse_repeated_keys(loader))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # PyYAML leaks them, as for the date 2026-13-45
        raise yaml.YAMLError(str(error)) from None


def _refuse_repeated_keys(loader: Any) -> Any:
    """`loader`, but a key that a mapping has twice is an error: PyYAML keeps the last value and says nothing."""

    def construct_mapping(self: Any, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise ValueError(f"line {key.start_mark.line + 1} repeats the key '{key.value}'")
            seen.add((key.tag, key.value))
        content: dict[Any, Any] = loader.construct_mapping(self, node, deep)
        return content

    return type("UniqueKeyLoader", (loader,), {"construct_mapping": construct_mapping})


def _check_limits(text: str) -> None:
    """Count the nodes without constructing them; an alias counts as many as it repeats."""
    if len(text) > MAX_LENGTH:
        raise yaml.YAMLError(f"it has {len(text):,} characters, more than {MAX_LENGTH:,}")
    sizes: dict[str | None, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # of each open collection the anchor, and the number of nodes before it
    count = 0
    for event in yaml.parse(text, SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise yaml.YAMLError(f"the alias *{event.anchor} is unknown, or inside of what it repeats")
            count += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes[anchor] = count - before
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, count - 1))
            else:
                _check_scalar(event)
                sizes[event.anchor] = 1
        if len(open_nodes) > MAX_DEPTH or count > MAX_NODES:
            raise yaml.YAMLError(f"it has more than {MAX_DEPTH} levels or {MAX_NODES:,} values, repeated ones included")


def _check_scalar(event: Any) -> None:
    if len(event.value) > MAX_NUMBER and not event.implicit[1]:  # not quoted, or with a tag
        raise yaml.YAMLError(f"line {event.start_mark.line + 1} has a value of {len(event.value):,} characters without quotes")
