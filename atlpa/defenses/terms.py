"""The table of loss terms, and how a defense's ``terms:`` are read and written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from atlpa.component import dump
from atlpa.defenses.classification import CrossEntropy, TolerantLogit
from atlpa.defenses.grad_align import GradAlign
from atlpa.defenses.input_gradient import InputGradient
from atlpa.defenses.mart import BoostedCrossEntropy, WeightedKLPairing
from atlpa.defenses.paired import AttentionMap, KLPairing, LogitPairing, TopKPairing
from atlpa.defenses.term import Term
from atlpa.defenses.worst_case import WorstCase
from atlpa.editors import Options
from atlpa.registry import Registry

TERMS: Registry[type[Term]] = Registry(
    "loss term",
    "atlpa.terms",
    {
        "cross_entropy": CrossEntropy,
        "tolerant_logit": TolerantLogit,
        "attention_map": AttentionMap,
        "logit_pairing": LogitPairing,
        "top_k_pairing": TopKPairing,
        "kl_pairing": KLPairing,
        "input_gradient": InputGradient,
        "grad_align": GradAlign,
        "boosted_cross_entropy": BoostedCrossEntropy,
        "weighted_kl_pairing": WeightedKLPairing,
        "worst_case": WorstCase,
    },
    base=Term,
)
"""Name → class, in the order in which they are summed; terms of other packages come after, in the order written."""


def read_terms(value: Any) -> Any:
    """Terms by name from a mapping whose values are their options, or terms themselves, or ``null`` for none.

    A term itself may have any name: its own in the table, or else its import path, takes the place of that.

    Raises:
        ValueError: no such term, or options that it does not have.
    """
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Term] = {}
    for given, options in value.items():
        if options is None:
            TERMS[str(given)]  # a misspelt name takes nothing away
            continue
        name = TERMS.name_of(type(options), str(given)) if isinstance(options, Term) else str(given)
        if name in found:
            raise ValueError(f"{name} is given twice")
        if isinstance(options, Term):
            found[name] = options
        else:
            kind: Any = TERMS[name]
            found |= _options_of(kind).validate_python({name: options})
    order = list(TERMS.built_in)
    return dict(sorted(found.items(), key=lambda entry: order.index(entry[0]) if entry[0] in order else len(order)))


@cache
def _options_of(kind: Any) -> TypeAdapter[dict[str, Term]]:
    """Reads a term under its name, which errors then hold."""
    return TypeAdapter(dict[str, kind])


def _plain(terms: Mapping[str, Term]) -> dict[str, Any]:
    return {name: dump(term) for name, term in terms.items()}


Terms = Annotated[Mapping[str, Term], BeforeValidator(read_terms), PlainSerializer(_plain), Options(TERMS)]
"""A field that holds loss terms by name."""
