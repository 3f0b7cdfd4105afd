"""ATLPA: adversarial tolerant logit pairing with attention, and the defenses it is compared with.

Import what you need: ``atlpa.losses``, ``atlpa.attacks``, ``atlpa.models``, ``atlpa.evaluation`` …; this module itself
imports nothing, so that records and reports need not wait for torch.
"""

__version__ = "0.1.0"
