"""ATLPA: adversarial tolerant logit pairing with attention, and the defenses it is compared with.

Import what you need: ``atlpa.losses``, ``atlpa.attacks``, ``atlpa.models``, ``atlpa.evaluation`` …; this module itself
imports nothing, so that reading a record or calling ``--help`` does not wait for torch.
"""

__version__ = "0.1.0"
