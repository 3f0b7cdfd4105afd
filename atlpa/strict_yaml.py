"""YAML of unknown origin: plain values within bounds, or an error in a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from atlpa.errors import shown, writable

# The C parser is ten times faster where libyaml is there; both load plain values only.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

DEEPEST = 32
"""Sections within sections; experiments have five."""

MOST = 20_000
"""Values, those that an alias stands for counted each time."""

LONGEST = 4_000
"""Signs of a value; Python reads no integer of more than 4,300 digits."""


class _Loader(LOADER):  # type: ignore[misc]
    """Takes keys as they are written: ``on:`` is a field, where YAML 1.1 reads a truth value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """The plain values that a text stands for.

    Raises:
        ValueError: it is no YAML, names a key twice, is nested too deeply, holds too much, or a value that cannot be.
    """
    try:
        _check(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except (OverflowError, TypeError, LookupError, AttributeError) as error:  # a tag that does not fit its value
        raise ValueError(f"a value that cannot be ({error})") from error


@dataclass
class _Open:
    """A list or mapping whose end has not come yet.

    Fields:
        mapping: whether every other child is a key.
        anchor: the name by which aliases repeat it.
        size: values in it so far.
        children: how many of them are its own.
        keys: of a mapping, those that are plain values.
    """

    mapping: bool = False
    anchor: str | None = None
    size: int = 0
    children: int = 0
    keys: set[str] = field(default_factory=set)

    def add(self, size: int, text: str | None = None) -> None:
        """Count a child of some size; ``text`` if it is a plain value."""
        is_key = self.mapping and self.children % 2 == 0
        self.children += 1
        self.size += size
        if is_key and text is not None:
            if text in self.keys:
                raise ValueError(f"the key {shown(text)} is there twice")
            self.keys.add(text)


def _check(text: str) -> None:
    """Look at a text's events, which come one by one, before anything is made of them.

    Making it follows every alias, takes a frame of the stack for each nesting, and keeps the last of equal keys.
    """
    sizes: dict[str, int] = {}
    stack = [_Open()]
    for event in yaml.parse(text, Loader=LOADER):
        match event:
            case yaml.CollectionStartEvent():
                stack.append(_Open(isinstance(event, yaml.MappingStartEvent), event.anchor))
                if len(stack) > DEEPEST:
                    raise ValueError(f"nested more than {DEEPEST} deep")
                continue
            case yaml.CollectionEndEvent():
                closed = stack.pop()
                anchor, size, value = closed.anchor, closed.size + 1, None
            case yaml.AliasEvent():
                if event.anchor not in sizes:
                    raise ValueError(f"the alias {shown(event.anchor)} stands for nothing that came before it")
                anchor, size, value = None, sizes[event.anchor], None
            case yaml.ScalarEvent():
                anchor, size, value = event.anchor, 1, event.value
                _check_value(event.value)
            case _:
                continue
        if anchor is not None:
            sizes[anchor] = size
        stack[-1].add(size, value)
        if sum(one.size for one in stack) > MOST:
            raise ValueError(f"more than {MOST} values, those that aliases stand for included")


def _check_value(text: str) -> None:
    if len(text) > LONGEST:
        raise ValueError(f"the value {shown(text)} of {len(text)} signs; {LONGEST} are allowed")
    if not writable(text):
        raise ValueError(f"the value {shown(text)} holds what no text and no file name can")
