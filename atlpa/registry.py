"""Things by name: built in, from entry points of installed packages, or by import path; one mechanism for all kinds."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import metadata
from typing import Any, Generic, TypeVar

from atlpa.errors import UserError, reason, unknown_name

Thing = TypeVar("Thing")

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_imported: dict[str, Any] = {}
_only_known: ContextVar[bool] = ContextVar("only_known", default=False)


class UntrustedCode(UserError):
    """A run folder names code by its import path, and nobody has said that it may be run."""


class Registry(Mapping[str, Thing], Generic[Thing]):
    """What a name in a YAML file or on the command line stands for; a mapping of the names that are known.

    A name is looked up among what is built in, then among the entry points of installed packages; a name of the form
    ``package.module:attribute`` is imported. What is iterated over are the names of the first two kinds.

    Args:
        what: the kind, in the singular, for messages: ``"attack"``.
        group: of entry points: ``"atlpa.attacks"``.
        built_in: name → thing.
        base: of which other packages' things must be subclasses, if of anything.
    """

    def __init__(self, what: str, group: str, built_in: Mapping[str, Thing], base: type | None = None) -> None:
        self.what, self.group, self.built_in, self.base = what, group, built_in, base

    def __getitem__(self, name: str) -> Thing:
        """What a name stands for.

        Raises:
            UserError: nothing has this name (the nearest is offered), its code cannot be imported or is no such thing,
                or it is an import path that a stranger's run names (see ``trusting_only_what_is_known``).
        """
        if not isinstance(name, str):  # in a library's call, or in YAML
            raise UserError(unknown_name(self.what, name, self))
        if name in self.built_in:
            return self.built_in[name]
        if point := self._entry_points().get(name):
            return self._checked(name, self._loaded(name, point))
        if not is_import_path(name):
            raise UserError(
                f"{unknown_name(self.what, name, self)}; code of your own is named package.module:attribute"
            )
        return self._checked(name, import_path(name, self.what))

    def __iter__(self) -> Iterator[str]:
        return iter([*self.built_in, *(name for name in self._entry_points() if name not in self.built_in)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self._entry_points()

    def origin(self, name: str) -> str | None:
        """The package and version that a name's code comes from, such as ``focal 1.2``; ``None`` if it is built in."""
        if name in self.built_in:
            return None
        point = self._entry_points().get(name)
        if point and point.dist:
            return f"{point.dist.name} {point.dist.version}"
        module = point.module if point else name.partition(":")[0]
        return _package(module.partition(".")[0])

    def name_of(self, thing: Any, given: str) -> str:
        """The name that leads to a thing: the one given if it does, else its own here, else its import path."""
        try:
            if self[given] is thing:
                return given
        except UserError:
            pass
        path = f"{thing.__module__}:{thing.__qualname__}"
        own = {name: known for name, known in self.built_in.items() if known is thing}
        announced = [name for name, point in self._entry_points().items() if point.value == path]
        return next(iter([*own, *announced, path]))

    def _entry_points(self) -> Mapping[str, metadata.EntryPoint]:
        return _announced(self.group, tuple((place, _changed(place)) for place in map(os.path.abspath, sys.path)))

    def _loaded(self, name: str, point: metadata.EntryPoint) -> Thing:
        try:
            thing: Thing = point.load()
        except Exception as error:  # of somebody else's module, which may raise anything
            raise UserError(f"{self.what} {name!r} of {self.origin(name)} fails: {reason(error)}") from error
        return thing

    def _checked(self, name: str, thing: Any) -> Thing:
        if self.base and not (isinstance(thing, type) and issubclass(thing, self.base)):
            package = self.base.__module__.rpartition(".")[0]
            raise UserError(f"{self.what} {name!r} is no subclass of {package}.{self.base.__name__}")
        known: Thing = thing
        return known


def is_import_path(name: str) -> bool:
    """Whether a name has the form ``package.module:attribute``."""
    return bool(_PATH.fullmatch(name))


def import_path(path: str, what: str) -> Any:
    """What ``package.module:attribute`` stands for.

    Args:
        path: from any package that can be imported, the current folder's included.
        what: what it should be, for messages.

    Raises:
        UntrustedCode: it may not be imported.
        UserError: there is no such module or attribute.
    """
    if path not in _imported:
        if _only_known.get():
            raise UntrustedCode(
                f"{what} {path!r} is code that no installed package announces; if you trust it, add --trust-code"
            )
        module, _, attribute = path.partition(":")
        if module == "__main__":
            raise UserError(f"{what} {path!r} lies in a program, where no command finds it; move it into a module")
        _look_in_the_current_folder()
        try:
            _imported[path] = getattr(importlib.import_module(module), attribute)
        except Exception as error:  # of somebody else's module, which may raise anything
            raise UserError(f"{what} {path!r} cannot be imported: {reason(error)}") from error
    return _imported[path]


def _look_in_the_current_folder() -> None:
    """Where Python looks for a program's own modules, but not for those of a command that is started by its script.

    Last, so that no file there stands in for an installed package, and only once code is named by its path, so that
    a command never runs what happens to lie where it is started.
    """
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.append(here)


@contextmanager
def trusting_only_what_is_known() -> Iterator[None]:
    """Refuse import paths that this process was not asked for before: reading a run folder must not run its code."""
    token = _only_known.set(True)
    try:
        yield
    finally:
        _only_known.reset(token)


@cache
def _announced(group: str, places: tuple[tuple[str, int], ...]) -> Mapping[str, metadata.EntryPoint]:
    """The entry points of a group, of what lies on Python's path; to find them reads a file of every package."""
    del places  # what was found stands until one of them, or when it was last changed, is another
    return {point.name: point for point in metadata.entry_points(group=group)}


def _changed(place: str) -> int:
    """When something was last put into a folder or taken out, in nanoseconds; 0 if it is not there."""
    try:
        return os.stat(place).st_mtime_ns
    except OSError:
        return 0


@cache
def _package(top: str) -> str:
    """The distribution that a top-level module belongs to, with its version; to find it takes most of a second."""
    for distribution in metadata.packages_distributions().get(top, []):
        return f"{distribution} {metadata.version(distribution)}"
    return f"{top}, not installed as a package"
