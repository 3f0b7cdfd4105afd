"""The page of every field of every YAML, drawn from the schema that editors are given.

``python -m website.configuration`` writes it; a test holds it to the code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction
from typing import Any

from atlpa.component import REASON
from atlpa.experiment import Experiment
from atlpa.schema import file_schema
from atlpa.studies import Study
from website.links import REPOSITORY

PAGE = REPOSITORY / "docs" / "reference" / "configuration.md"
START, END = "<!-- fields: start -->", "<!-- fields: end -->"
"""What lies between them is drawn; the words before and after are ours."""

Schema = Mapping[str, Any]

PLACES = {
    "Augmentation": "data.augmentation",
    "ResizedCrop": "data.augmentation.resized_crop",
    "Mix": "data.augmentation.mix",
    "ExtraImages": "data.extra",
    "ModelSpec": "model",
    "Normalization": "model.normalization",
    "WeightPerturbation": "defense.awp",
    "InputNoise": "defense.noise",
    "RandomResize": "defense.randomize",
    "Recipe": "training",
    "Schedule": "training.schedule",
    "Averaging": "training.averaging",
    "Collapse": "training.collapse",
    "Origin": "origin",
}
"""Component → where it stands in an experiment, which is the heading of its part."""

_LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
_COUNTED = {"minItems": "at least {}", "maxItems": "at most {}", "maxLength": "at most {} signs"}


def drawn() -> str:
    """All parts of the page."""
    experiment, study = file_schema(Experiment), file_schema(Study)
    data, attacks = (named(one) for one in (experiment["properties"]["data"], _recipe(experiment)["attack"]))
    _, preset, whole = experiment["properties"]["defense"]["anyOf"]
    defense = {**preset, "required": whole["required"]}
    of_terms = defense["properties"]["terms"]["properties"]
    terms = {name: _resolved(experiment, one["anyOf"][0]) for name, one in of_terms.items()}
    parts = ["## An experiment", table({"": experiment}, experiment["properties"])]
    parts += _variants("data", data) + _places(experiment, "data") + _places(experiment, "model")
    parts += ["## defense", table({"": defense}, defense["properties"])]
    parts += _places(experiment, "defense") + _variants("defense.terms", terms)
    parts += _places(experiment, "training") + _variants("attacks", attacks) + _places(experiment, "origin")
    return "\n\n".join([*parts, "## A study", table({"": study}, study["properties"])])


def _recipe(experiment: Schema) -> Schema:
    properties: Schema = experiment["$defs"]["Recipe"]["properties"]
    return properties


def _resolved(whole: Schema, one: Schema) -> Schema:
    found: Schema = whole["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
    return found


def named(schema: Schema) -> dict[str, Schema]:
    """Name → what a mapping with this name may hold."""
    names = [(one, one.get("properties", {}).get("name")) for one in schema["anyOf"]]
    return {name["const"]: one for one, name in names if isinstance(name, Mapping) and "const" in name}


def _places(experiment: Schema, section: str) -> list[str]:
    """The components of a section, each with a heading and a table."""
    parts = []
    for kind, place in PLACES.items():
        if place.partition(".")[0] == section:
            whole = experiment["$defs"][kind]
            level, fields = "#" * (2 + ("." in place)), whole["anyOf"][-1] if "anyOf" in whole else whole
            parts += [f"{level} {place}", _shown(fields["description"]), table({"": fields}, fields["properties"])]
    return parts


def _variants(heading: str, variants: Mapping[str, Schema]) -> list[str]:
    """What all have, then what those have that have the same fields."""
    common = set.intersection(*(set(one["properties"]) for one in variants.values()))
    first = next(iter(variants.values()))["properties"]
    level = "###" if "." in heading else "##"
    parts = [f"{level} {heading}", table(variants, [field for field in first if field in common and field != "name"])]
    groups: dict[tuple[str, ...], dict[str, Schema]] = {}
    for name, one in variants.items():
        own = tuple(field for field in one["properties"] if field not in common and field != "name")
        groups.setdefault(own, {})[name] = one
    for own, group in groups.items():
        parts.append("\n".join(f"- **`{name}`**: {_shown(one['description'])}" for name, one in group.items()))
        if own:
            parts.append(table(group, own))
    return parts


def table(variants: Mapping[str, Schema], fields: Collection[str]) -> str:
    """A row for each field; defaults are those of each variant where they differ."""
    rows = ["| field | type | default | range | what it says | why that default |", "|---|---|---|---|---|---|"]
    for field in fields:
        of_each = {name: one["properties"][field] for name, one in variants.items()}
        told = next(iter(of_each.values()))
        required = field in next(iter(variants.values())).get("required", ())
        defaults = {name: "required" if required else _default(one) for name, one in of_each.items()}
        reasons = {name: reason(one) for name, one in of_each.items()}
        words = told.get("description", "").partition(REASON)[0]
        cells = (f"`{field}`", kind(told), _merged(defaults), limits(told), words, _merged(reasons))
        rows.append(f"| {' | '.join(map(_shown, cells))} |")
    return "\n".join(rows)


def reason(told: Schema) -> str:
    """Why a field's default is what it is, as its words end with."""
    words, _, why = told.get("description", "").partition(REASON)
    return why.removesuffix(".") or ("as of `pgd`" if ", as of PGD" in words else "")


def _shown(text: str) -> str:
    """Words as they are, whatever Markdown would make of their signs."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _merged(values: Mapping[str, str]) -> str:
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault(value, []).append(name)
    if len(names) == 1:
        return next(iter(names))
    return ", ".join(f"{value} ({', '.join(of)})" for value, of in names.items() if value)


def _default(told: Schema) -> str:
    if "default" not in told:
        return "–"
    value = told["default"]
    if isinstance(value, Mapping):
        return "its own defaults"
    return f"`{plain(value)}`"


def plain(value: Any) -> str:
    """A value as YAML writes it; shares of 255 or 256 as such."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if value == 2**63:
        return "2⁶³"
    if isinstance(value, list):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, float) and 0 < value < 1:
        for whole in (255, 256):
            if abs(value * whole - round(value * whole)) < 1e-9 and Fraction(round(value * whole), whole) != Fraction(
                1, 2
            ):
                short = f"{value:g}"
                return short if len(short) <= 5 else f"{round(value * whole)}/{whole}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def kind(told: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in told:
        place = PLACES[told["$ref"].rpartition("/")[2]]
        return f"[{place}](#{place.replace('.', '').lower()})"
    if "anyOf" in told:
        if named(told):
            return "[an attack](#attacks)" if "pgd" in named(told) else "[a data set](#data)"
        return " or ".join(dict.fromkeys(kind(one) for one in told["anyOf"]))
    if "enum" in told:
        most = 12
        names = [f"`{plain(one)}`" for one in told["enum"]]
        return ", ".join(names) if len(names) <= most else f"a name, such as {', '.join(names[:4])}"
    if "const" in told:
        return f"`{plain(told['const'])}`"
    if told.get("pattern") == ":" and told.get("type") == "string":
        return "`package.module:name`"
    if told.get("type") == ["number", "string"]:
        return "number"
    if told.get("type") == "array":
        items: Schema = told.get("items") or next(iter(told.get("prefixItems", [])), {})
        return f"list of: {kind(items)}" if items else "list"
    if told.get("type") == "object":
        return "mapping"
    return {"null": "`null`", "integer": "whole number", "string": "text", "boolean": "`true` or `false`"}.get(
        str(told.get("type")), str(told.get("type", "any"))
    )


def limits(told: Schema) -> str:
    """The range of a number, or how many there may be."""
    found = [words.format(plain(told[key])) for key, words in (_LIMITS | _COUNTED).items() if key in told]
    inside = [limits(one) for one in (*told.get("anyOf", ()), *([told["items"]] if "items" in told else ()))]
    return ", ".join(dict.fromkeys([*found, *filter(None, inside)]))


def page(text: str) -> str:
    """The page with its parts drawn anew."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{drawn()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
