"""Where data files are kept, and how they get there."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

from unrolled.errors import FileFormatError

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def home() -> Path:
    """The folder for data files: $UNROLLED_HOME, else unrolled in $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get("UNROLLED_HOME")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "unrolled"


def find_file(path: str | os.PathLike[str] | None, name: str, sha256: str) -> Path:
    """The file to read: the one that `path` names, else `name` in `home()`, downloaded if it is not there.

    Args:    path: a file (~ is the home folder), read as it is; or None or the bare `name`;
             name: as it is called at the origin; sha256: of the file at the origin, checked after a download.
    Raises:  FileNotFoundError naming the file and where to put it; FileFormatError if a download is not the file.
    """
    if path is not None:
        local = Path(path).expanduser()
        if local.is_file():
            return local
        if str(path) != name:
            raise FileNotFoundError(
                f"{name}: no file at {local}. Give the path of the file, or leave path out to use {home() / name}."
            )
    kept = home() / name
    if not kept.is_file():
        _download(ORIGIN + name, kept, sha256)
    return kept


def _download(url: str, target: Path, sha256: str) -> None:
    """Fetch a file, check its hash, and only then put it in its place."""
    from urllib.request import urlopen  # slow to import, and rarely needed

    digest, part = hashlib.sha256(), None
    try:
        with urlopen(url, timeout=30) as response:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
                part = Path(file.name)
                size = int(response.headers.get("Content-Length") or 0)
                while block := response.read(1 << 18):
                    file.write(block)
                    digest.update(block)
                    _show_progress(target.name, file.tell(), size)
        if digest.hexdigest() != sha256:
            raise FileFormatError(
                f"{target.name}: what {url} sent has the sha256 {digest.hexdigest()}, expected {sha256}. Try again."
            )
        part.replace(target)
    except OSError as error:
        raise FileNotFoundError(
            f"{target.name}: not found at {target}, and {url} cannot be fetched ({error}). "
            f"Download it on another machine and put it at {target}, or give path=... of a copy."
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _show_progress(name: str, done: int, size: int) -> None:
    """One line that counts up, for a person at a terminal."""
    if sys.stderr.isatty():
        end = "\n" if size and done >= size else ""
        sys.stderr.write(f"\r{name}: {done / 1e6:.1f} of {size / 1e6:.1f} MB{end}")
        sys.stderr.flush()
