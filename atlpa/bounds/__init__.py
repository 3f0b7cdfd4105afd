"""Certified lower bounds: what no attack within ε can do, by interval and by linear bounds."""

from atlpa.bounds.certify import Certificates, certify
from atlpa.bounds.margins import worst_case_logits
from atlpa.bounds.rules import NoBound

__all__ = ["Certificates", "NoBound", "certify", "worst_case_logits"]
