"""One safe file for a model: arrays and a JSON header in a safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.errors import FileFormatError
from unrolled.parameters import Array

FORMAT = 1
KEY = "unrolled"
OTHER_KINDS = {
    b"\x89HDF": "an HDF5 file (Keras)",
    b"PK\x03\x04": "a zip archive (.keras or .npz)",
    b"\x93NUM": "a NumPy .npy file",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}


def write_file(path: str | os.PathLike[str], arrays: dict[str, Array], header: dict[str, Any]) -> None:
    """Write arrays and a header; an older file of that name stays whole until the new one is complete.

    Args:   header: plain data; "format" is added.
    Raises: OSError if the folder does not exist or cannot be written; TypeError for what is no path.
    """
    from safetensors.numpy import save

    target = _path(path)
    if target.is_dir():
        raise IsADirectoryError(f'"{target}" is a folder. Give the name of a file, for example "{target / "model"}".')
    if not target.parent.is_dir():
        raise FileNotFoundError(f'There is no folder "{target.parent}". Make it first.')
    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        metadata={KEY: json.dumps({"format": FORMAT, **header})},
    )
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and header of a file that write_file wrote.

    Raises: FileNotFoundError; FileFormatError if the file is broken, truncated, of another kind or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    path = _path(path)
    if not path.exists():
        raise FileNotFoundError(f'There is no file "{path}".')
    _refuse_other_kinds(path)
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise FileFormatError(
            f'"{path}" is no model, or a broken or truncated one ({error}). Give a file that save wrote, or copy or '
            "save it again."
        ) from None
    return arrays, _header(path, metadata)


def _path(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"expected the path of a file as text or pathlib.Path, got {type(path).__name__}.")
    return Path(path)


def _refuse_other_kinds(path: Path) -> None:
    if path.is_dir():
        raise FileFormatError(f'"{path}" is a folder, not a file that model.save wrote.')
    with open(path, "rb") as file:
        start = file.read(4)
    for magic, kind in OTHER_KINDS.items():
        if start.startswith(magic):
            raise FileFormatError(
                f'"{path}" is {kind}, not a file that model.save wrote. '
                "Weights of a Keras model can be carried over with get_weights() there and set_weights() here."
            )


def _header(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    if KEY not in metadata:
        raise FileFormatError(f'"{path}" is a safetensors file, but not one that model.save wrote.')
    try:
        header = json.loads(metadata[KEY])
        version = int(header["format"])
    except (ValueError, KeyError, TypeError):
        raise FileFormatError(f'"{path}" has a broken header. Save the model again.') from None
    if version > FORMAT:
        raise FileFormatError(
            f'"{path}" has format {version}; this version of unrolled reads up to {FORMAT}. '
            "Upgrade: pip install --upgrade unrolled"
        )
    return dict(header)
