"""The formats that networks are exported to: how each is written, and read back as anybody would."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from atlpa.component import Component, dump, validate
from atlpa.errors import UserError, explain, reason
from atlpa.field_types import FromList
from atlpa.files import write_text
from atlpa.json_files import parse_json, read_json
from atlpa.model_state import Logits
from atlpa.models import Classifier, Normalization, build_backbone
from atlpa.tensor_files import read_tensors
from atlpa.training import Kept

KEY = "atlpa"
"""Under which name a file's metadata hold the description."""

EXAMPLE = 2
"""Images that a network is followed with; with one, their number would be taken for part of it."""


class ExportedNetwork(Component):
    """What is told beside exported weights.

    Fields:
        network: Python that makes the backbone, whose state dict the weights are.
        architecture: its name here.
        classes: their names, in the order of the logits.
        size: H = W of the images.
        normalization: of images in [0, 1], before the backbone; ONNX has it inside.
        defense: what the network was trained with.
        kept: which of the run's networks it is.
        weights: its SHA-256, as records have it.
        experiment: dotted field → value, of all that decided what was computed.
        atlpa: the version that wrote it.
    """

    network: str
    architecture: str
    classes: Annotated[tuple[str, ...], FromList]
    size: Annotated[int, Field(ge=1)]
    normalization: Normalization
    defense: str
    kept: Kept
    weights: str
    experiment: dict[str, Any]
    atlpa: str


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Fields:
        write: a network in evaluation mode on the CPU, with its description, into a new file.
        read: the description, and the network as this file has it.
        packages: what that needs beside torch.
        whole: whether it holds every layer of a network, and not the weights of a plain one alone.
        companion: what is added to the file's name for another one beside it; empty for none.
    """

    write: Callable[[Classifier, ExportedNetwork, Path], None]
    read: Callable[[Path], tuple[ExportedNetwork, Logits]]
    packages: tuple[str, ...] = ()
    whole: bool = False
    companion: str = ""

    def missing(self) -> str | None:
        """What has to be installed first, if anything."""
        absent = [package for package in self.packages if not importlib.util.find_spec(package)]
        return f"needs {' and '.join(absent)}; pip install 'atlpa[export]'" if absent else None

    def beside(self, file: Path) -> list[Path]:
        """The files that are written beside one."""
        return [file.with_name(file.name + self.companion)] if self.companion else []


def _text(description: ExportedNetwork) -> str:
    return json.dumps(dump(description), ensure_ascii=False, indent=1)


def _state(model: Classifier) -> dict[str, Tensor]:
    """The backbone's state, each tensor with its own memory, in the usual order."""
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in model.backbone.state_dict().items()
    }


def _rebuilt(state: Mapping[str, Tensor], description: ExportedNetwork) -> Classifier:
    """The network that a description tells to make, with these weights."""
    backbone = build_backbone(description.architecture, len(description.classes), description.size)
    backbone.load_state_dict(state)
    return Classifier(backbone, description.normalization).eval()


def _write_torch(model: Classifier, description: ExportedNetwork, path: Path) -> None:
    torch.save(_state(model), path)
    write_text(path.with_name(f"{path.name}.json"), _text(description) + "\n")


def _told_beside(path: Path) -> ExportedNetwork:
    file = path.with_name(f"{path.name}.json")
    try:
        return validate(ExportedNetwork, read_json(file, "description"))
    except ValidationError as error:
        raise UserError(
            f"{file} does not describe an export ({explain(error)}); move it away, or export anew"
        ) from error


def _read_torch(path: Path) -> tuple[ExportedNetwork, Logits]:
    told = _told_beside(path)
    state, _ = read_tensors(path)
    return told, _rebuilt(state, told)


def _write_safetensors(model: Classifier, description: ExportedNetwork, path: Path) -> None:
    from safetensors.torch import save_file

    save_file(_state(model), path, metadata={"format": "pt", KEY: _text(description)})


def _read_safetensors(path: Path) -> tuple[ExportedNetwork, Logits]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        told = validate(ExportedNetwork, parse_json(file.metadata()[KEY]))
        return told, _rebuilt({name: file.get_tensor(name) for name in file.keys()}, told)  # noqa: SIM118  # no mapping


def told_of(path: Path) -> ExportedNetwork | None:
    """What an export tells of its weights, beside them or inside; ``None`` where nothing is told.

    Raises:
        UserError: it is damaged.
    """
    if path.suffix != ".safetensors":
        return _told_beside(path) if path.with_name(f"{path.name}.json").is_file() else None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} holds no weights ({reason(error)})") from error
    return validate(ExportedNetwork, parse_json(told)) if told else None


def _write_onnx(model: Classifier, description: ExportedNetwork, path: Path) -> None:
    example = torch.zeros(EXAMPLE, 3, description.size, description.size)
    try:
        program: Any = torch.onnx.export(
            model,
            (example,),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
        program.model.metadata_props[KEY] = _text(description)
        program.save(path, external_data=False)
    except Exception as error:  # of torch's tracer and of ONNX's writers, which raise anything at all
        raise UserError(f"{description.architecture} cannot be written as ONNX: {reason(error)}") from error


def _read_onnx(path: Path) -> tuple[ExportedNetwork, Logits]:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def logits(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])

    return validate(ExportedNetwork, parse_json(session.get_modelmeta().custom_metadata_map[KEY])), logits


FORMATS: Mapping[str, Format] = {
    "torch": Format(_write_torch, _read_torch, companion=".json"),
    "safetensors": Format(_write_safetensors, _read_safetensors),
    "onnx": Format(_write_onnx, _read_onnx, packages=("onnx", "onnxscript", "onnxruntime"), whole=True),
}
"""Name → format: a state dict of the backbone with the description beside or inside it, or the whole network."""
