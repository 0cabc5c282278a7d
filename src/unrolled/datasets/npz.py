"""Read the arrays of an .npz file, object arrays of lists included, without running anything that is in it.

NumPy stores an array of lists as a pickle, and unpickling runs whatever functions the file names. Here no name in the
file is ever looked up: the four names that such an array is made of stand for inert classes below, every other name is
refused. `numpy.load` is not used, so code that replaces it (as one version of the chapter does) changes nothing here.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
import zlib
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from unrolled.errors import FileFormatError

Lists = list[list[int]]


def read_npz(path: str | PathLike[str], names: tuple[str, ...]) -> dict[str, NDArray[Any] | Lists]:
    """The named arrays of an .npz file.

    Args:    path: the file; names: which arrays, e.g. ("x_train", "y_train").
    Returns: by name an array of numbers, or a list of lists of ints for an object array.
    Raises:  FileNotFoundError; FileFormatError (a ValueError) if the file is broken, an array is missing, or an object
             array holds anything but lists of ints.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = archive.namelist()
            missing = [name for name in names if f"{name}.npy" not in present]
            if missing:
                raise FileFormatError(
                    f"{path}: expected the arrays {', '.join(names)}; {', '.join(missing)} not found among "
                    f"{', '.join(n.removesuffix('.npy') for n in present) or 'none'}."
                )
            return {name: _read_npy(archive.read(f"{name}.npy"), f"{path}, {name}") for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise FileFormatError(
            f"{path}: expected an .npz file, got one that is broken or of another kind ({error}). Copy it again."
        ) from error


def _read_npy(content: bytes, what: str) -> NDArray[Any] | Lists:
    """One member of the archive: NumPy's header, then numbers or a pickle."""
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        read_header = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}[version[0]]
        shape, fortran, dtype = read_header(stream)
        if not dtype.hasobject:
            flat = np.frombuffer(content, dtype, math.prod(shape), stream.tell())
            return flat.reshape(shape, order="F" if fortran else "C").copy()
        rows = _Unpickler(stream, encoding="latin1").load()
    except FileFormatError as error:
        raise FileFormatError(f"{what}: {error}") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise FileFormatError(f"{what}: not an array of the .npy format ({error}). Copy the file again.") from error
    return _checked_rows(rows, shape, what)


def _checked_rows(loaded: Any, shape: tuple[int, ...], what: str) -> Lists:
    """The lists of an object array, once it is sure that they are lists of ints, as many as announced."""
    rows = loaded.content if isinstance(loaded, _ArrayStandIn) else None
    if len(shape) != 1 or not isinstance(rows, list) or len(rows) != shape[0]:
        raise FileFormatError(f"{what}: expected one list a row in {shape} rows. Copy the file again.")
    if not set(map(type, rows)) <= {list} or not set(map(type, chain.from_iterable(rows))) <= {int}:
        raise FileFormatError(f"{what}: expected lists of integers, got rows with something else in them.")
    return rows


class _ArrayStandIn:
    """Takes the place of numpy.ndarray in a pickle, and keeps the list of its entries."""

    content: Any = None

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.content = state[-1]  # (version, shape, dtype, Fortran order, entries)


class _DtypeStandIn:
    """Takes the place of numpy.dtype: what it says is in the header already."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _bytes_stand_in(text: str, encoding: str) -> bytes:
    """Bytes as Python 3 writes them in pickles for Python 2."""
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Builds lists, ints and the stand-ins above; refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name that an object array needs, never the thing that bears the name."""
        known = {
            ("numpy.core.multiarray", "_reconstruct"): _ArrayStandIn,
            ("numpy._core.multiarray", "_reconstruct"): _ArrayStandIn,
            ("numpy", "ndarray"): _ArrayStandIn,
            ("numpy", "dtype"): _DtypeStandIn,
            ("_codecs", "encode"): _bytes_stand_in,
        }
        if (module, name) not in known:
            raise FileFormatError(
                f"refused: the file asks for {module}.{name}, which an array of lists does not need. "
                "It may have been tampered with."
            )
        return known[module, name]
