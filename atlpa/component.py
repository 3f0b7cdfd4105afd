"""A component is its own configuration: a frozen, validated dataclass whose fields are its YAML."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs, CoreSchema

from atlpa.errors import unknown_name

SomeComponent = TypeVar("SomeComponent", bound="Component")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
class Component:
    """Base of everything a YAML file can describe: immutable, strictly typed, no unknown keys.

    A subclass becomes a dataclass on pydantic, so that what it offers is its own: ``dir`` and ``help`` show nothing of
    the machinery. ``dataclasses.replace`` makes a changed copy, which is validated as any other.
    """

    def __init_subclass__(cls, *, kw_only: bool = True, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclass(frozen=True, kw_only=kw_only, config=ConfigDict(extra="forbid", strict=True))(cls)
        signature = inspect.signature(cls)
        plain = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
        cls.__signature__ = inspect.Signature(plain)  # type: ignore[attr-defined]  # as help shows it

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a mapping where a component is wanted, though its fields are strict."""
        schema = handler(source)
        inner: Any = schema
        while inner["type"] != "dataclass" and "schema" in inner:
            inner = inner["schema"]
        if inner["type"] == "dataclass":
            inner["strict"] = False
        return schema

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, values: Any) -> Any:
        """Arguments by position become fields by name; an unknown key is refused with the nearest valid one."""
        names = field_names(cls)
        if isinstance(values, ArgsKwargs):
            given, named = values.args, dict(values.kwargs or {})
            if len(given) > len(names):
                raise ValueError(f"{len(given)} arguments; {cls.__name__} takes {', '.join(names)}")
            first = dict(zip(names, given, strict=False))
            if twice := first.keys() & named:
                raise ValueError(f"{', '.join(twice)} is given twice, by position and by name")
            values = first | named
        if isinstance(values, Mapping):
            for key in values:
                if key not in names:
                    raise ValueError(unknown_name("key", str(key), names))
        return values


def field_docs(kind: type[Component]) -> dict[str, str]:
    """What the docstrings of a component say of its fields, below ``Fields:``; those of its bases included."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(base.__doc__ or "").partition("\nFields:\n")
        name = ""
        for line in section.split("\n\n")[0].splitlines():
            if entry := re.match(r"    (\w+): (.*)", line):
                name = entry[1]
                docs[name] = entry[2]
            elif name:
                docs[name] += f" {line.strip()}"
    return {name: doc for name, doc in docs.items() if name in field_names(kind)}


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def field_names(component: Component | type[Component]) -> list[str]:
    """The names of a component's fields, in order."""
    return [field.name for field in fields(component)]  # type: ignore[arg-type]  # every subclass is a dataclass


def validate(kind: type[SomeComponent], values: Mapping[str, Any]) -> SomeComponent:
    """A component from its fields.

    Raises:
        pydantic.ValidationError: a field is missing, unknown or out of its range.
    """
    wanted: Any = kind
    component: SomeComponent = _adapter(wanted).validate_python(values)
    return component


def dump(component: Component, *, exclude_defaults: bool = False) -> dict[str, Any]:
    """A component's fields as plain YAML or JSON types; ``validate`` reads them back."""
    kind: Any = type(component)
    content: dict[str, Any] = _adapter(kind).dump_python(component, mode="json", exclude_defaults=exclude_defaults)
    return content


def parse_number(value: Any) -> Any:
    """Read ``"64/256"`` and ``"1e-4"`` (which YAML takes for text) as numbers; leave anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        if len(value) > 40:
            raise ValueError
        return float(Fraction(value.replace(" ", "")))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{value!r} is no number; write 0.25 or 64/256") from None


def _in_pixel_range(value: float) -> float:
    if not 0 <= value <= 1:
        hint = f"; write {value:g}/256" if 1 < value <= 256 else ""
        raise ValueError(f"{value:g} is outside [0, 1]: distances are in units of the [0, 1] pixel range{hint}")
    return value


Number = Annotated[float, BeforeValidator(parse_number)]
"""A float that may be written as a fraction."""

PixelDistance = Annotated[Number, AfterValidator(_in_pixel_range)]
"""A distance between images in units of the [0, 1] pixel range; may be written ``64/256``."""


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(_tuple)
"""Lets a tuple field be written as a YAML list, which strict validation would refuse."""
