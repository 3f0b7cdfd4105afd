"""The table of data sets: what the ``name`` in an experiment's ``data:`` section stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from atlpa.component import validate
from atlpa.data.bmw10 import BMW10
from atlpa.data.dataset import Dataset
from atlpa.data.digits import Digits
from atlpa.data.flowers17 import Flowers17
from atlpa.data.folder import Folder
from atlpa.data.torchvision_sets import Cifar, Flowers102, StanfordCars
from atlpa.editors import ByName
from atlpa.errors import UserError
from atlpa.registry import Registry

DATASETS: Registry[type[Dataset]] = Registry(
    "data set",
    "atlpa.datasets",
    {
        "digits": Digits,
        "flowers17": Flowers17,
        "bmw10": BMW10,
        "folder": Folder,
        "cifar10": Cifar,
        "cifar100": Cifar,
        "flowers102": Flowers102,
        "stanford_cars": StanfordCars,
    },
    base=Dataset,
)
"""Name → class; a data set of another package is a subclass of ``Dataset``, which is given the name it was found by."""


def read_dataset(value: Any) -> Any:
    """The data set that a mapping's ``name`` stands for, so that errors speak of that data set's fields.

    Raises:
        ValueError: no such data set, or fields that it does not have.
    """
    if not isinstance(value, Mapping):
        return value
    try:
        kind = DATASETS[str(value.get("name"))]
    except UserError as error:
        raise type(error)(f"name: {error}") from error
    return validate(kind, dict(value))


AnyDataset = Annotated[SerializeAsAny[Dataset], BeforeValidator(read_dataset), ByName(DATASETS, DATASETS.__getitem__)]
"""A field that holds a data set: a mapping with its name in YAML."""
