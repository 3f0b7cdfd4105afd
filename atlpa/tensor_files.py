"""Files of tensors: sealed by a checksum, read without running code, and compared with what they are to fill."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from atlpa.errors import shown
from atlpa.files import atomic_file
from atlpa.plain_file import open_plain

# A zip file ends with the length of its comment and the comment, of which torch writes none.
_NO_COMMENT = bytes(2)
_SEAL = (13 + 64).to_bytes(2, "little") + b"atlpa sha256 "
_SEAL_SIZE = len(_SEAL) + 64


def write_sealed(content: Mapping[str, Any], path: Path) -> None:
    """Write what ``torch.save`` can, with the SHA-256 of every byte as the file's comment, in one move.

    The seal tells of accidents: a flipped bit, a cut, another program's edit. Whoever means harm can write a new one.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getbuffer()[: -len(_NO_COMMENT)]
    with atomic_file(path) as file:
        file.write(body)
        file.write(_SEAL + hashlib.sha256(body).hexdigest().encode())


def read_tensors(path: Path) -> tuple[Any, bool]:
    """What ``torch.save`` wrote, on the CPU, and whether the file bears a seal; tensors and plain values only.

    Raises:
        ValueError: the file is damaged, claims more than it holds, or holds what would have to be run.
        OSError: it cannot be opened.
    """
    open_plain(path, most=None).close()  # a reader would wait at a pipe
    sealed = _seal_holds(path)
    try:
        if zipfile.is_zipfile(path):
            _must_hold_what_it_claims(path)
        if path.suffix == ".safetensors":
            return load_file(path), sealed
        with warnings.catch_warnings(action="ignore"):  # of what it makes on the way
            return torch.load(path, map_location="cpu", weights_only=True), sealed
    except Exception as error:  # torch's readers raise anything at all, and advise to trust the file
        raise ValueError("it is damaged, or holds other things than tensors and plain values") from error


def _seal_holds(path: Path) -> bool:
    """Whether a file has a seal, which must then be true."""
    digest, left = hashlib.sha256(), path.stat().st_size - _SEAL_SIZE
    with path.open("rb") as file:
        file.seek(max(left, 0))
        seal = file.read()
        if not seal.startswith(_SEAL):
            return False
        file.seek(0)
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
    if seal[len(_SEAL) :] != digest.hexdigest().encode():
        raise ValueError("it has been damaged since it was written: its checksum is another")
    return True


def _must_hold_what_it_claims(path: Path) -> None:
    """Let nobody allocate what a few bytes promise: torch packs nothing, so a file is larger than its parts."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("packed")
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("larger inside than outside")


def is_plain(value: Any) -> bool:
    """Whether something is a tensor as networks hold them: not sparse, nested, quantized or without memory."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_nested or value.is_quantized)
    )


def misfits(given: Mapping[Any, Any], like: Mapping[str, Tensor], *, any_float: bool = False) -> list[str]:
    """Why tensors that were read cannot take the place of others; empty if they can.

    Args:
        given: name → tensor, or whatever the file holds.
        like: name → a tensor of the shape and type that is wanted, on any device.
        any_float: whether floating-point numbers of another type will do.
    """
    missing = [f"missing {name}" for name in like if name not in given]
    unknown = [f"unknown {name if isinstance(name, str) else shown(name)}" for name in given if name not in like]
    found = [(name, _misfit(given[name], like[name], any_float)) for name in like if name in given]
    return [*missing, *unknown, *(f"{name} {what}" for name, what in found if what)]


def _misfit(value: Any, like: Tensor, any_float: bool) -> str:
    if not is_plain(value):
        return "is no plain tensor"
    if value.shape != like.shape:
        return f"{tuple(value.shape)} instead of {tuple(like.shape)}"
    if value.dtype != like.dtype and not (any_float and value.is_floating_point() and like.is_floating_point()):
        return f"is {value.dtype} instead of {like.dtype}"
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        return "is a few numbers repeated"
    return "" if torch.isfinite(value.to(like.dtype)).all() else "is not finite"


def own_memory(tensors: Iterable[Tensor]) -> int:
    """How many of some tensors have memory of their own."""
    return len({tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()})
