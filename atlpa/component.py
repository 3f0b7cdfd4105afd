"""A component is its own configuration: a frozen, validated dataclass whose fields are its YAML."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache, wraps
from numbers import Integral
from typing import Any, TypeVar, dataclass_transform

from pydantic import (
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs, CoreSchema

from atlpa.errors import UserError, explain, unknown_name

SomeComponent = TypeVar("SomeComponent", bound="Component")

REASON = " Default: "
"""What comes between the words of a field and the reason for its default, in a docstring."""

CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
class Component:
    """Base of everything a YAML file can describe: immutable, strictly typed, no unknown keys.

    A subclass becomes a dataclass on pydantic, so that what it offers is its own: ``dir`` and ``help`` show nothing of
    the machinery. ``dataclasses.replace`` makes a changed copy, which is validated as any other. Fields that cannot be
    are a ``UserError``, a ``ValueError`` of one line.
    """

    def __init_subclass__(cls, *, kw_only: bool = True, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclass(frozen=True, kw_only=kw_only, config=CONFIG)(cls)
        cls.__init__ = _in_a_line(cls.__init__)  # type: ignore[method-assign]
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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """What an editor shows of the fields is what their docstring says."""
        referred = handler(core)
        whole, docs = handler.resolve_ref_schema(referred), field_docs(cls)
        whole["description"] = plain_text((cls.__doc__ or "").strip().partition("\n\n")[0])
        for name, told in whole.get("properties", {}).items():
            if name in docs:
                told["description"] = plain_text(docs[name])
        return dict(referred)

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
                    raise ValueError(unknown_name("key", key, names))
            values = {name: int(value) if _foreign_integer(value) else value for name, value in values.items()}
        return values


def _foreign_integer(value: Any) -> bool:
    """Whether it is a whole number of numpy's, say."""
    return isinstance(value, Integral) and not isinstance(value, int)


def _in_a_line(make: Callable[..., None]) -> Callable[..., None]:
    """A constructor whose errors are one line, as those of commands; what is read from fields keeps pydantic's."""

    @wraps(make)
    def construct(self: Component, *args: Any, **fields: Any) -> None:
        try:
            make(self, *args, **fields)
        except ValidationError as error:
            raise UserError(explain(error)) from error

    return construct


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


def plain_text(docstring: str) -> str:
    """A docstring's words on one line, without its marks."""
    text = re.sub(":math:`([^`]*)`", lambda found: found[1].replace(r"\|", "‖"), docstring)
    return " ".join(text.replace("``", "").split())


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
