"""Files appear whole or not at all: written beside their place, synced, renamed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from flairflow.errors import ConfigError

_scratch: Path | None = None


@contextmanager
def on_scratch(folder: Path | None) -> Iterator[None]:
    """Work on a fast disk of this machine: while this lasts, temporary files and files in the making lie in a private
    folder below `folder`, and only what is finished is brought to its place. With None nothing changes.

    Raises ConfigError when nothing can be written there.
    """
    global _scratch
    if folder is None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = tempfile.TemporaryDirectory(prefix="flairflow-", dir=folder)
    except OSError as problem:
        raise ConfigError(
            f"scratch: {folder} cannot be written on {os.uname().nodename} ({problem.strerror}); "
            "fix `scratch` in the profile's site block"
        ) from None
    before = tempfile.tempdir, os.environ.get("TMPDIR"), signal.getsignal(signal.SIGTERM)
    # That is how a cluster ends a job: the folder is to go with it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with own as name:
        _place_temporary_files(name, name)
        _scratch = Path(name)
        try:
            yield
        finally:
            _scratch = None
            _place_temporary_files(*before[:2])
            signal.signal(signal.SIGTERM, before[2])


def _place_temporary_files(own: str | None, children: str | None) -> None:
    """This process looks at one of the two, programs that it starts at the other."""
    tempfile.tempdir = own
    if children is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = children


def scratch() -> Path | None:
    """The private folder that `on_scratch` made, if the work is done there."""
    return _scratch


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A path to write to; on success it is synced and renamed to `path`, on failure removed.

    The file gets the mode that a new one has here (umask and the folder's own rules), whatever writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Jobs on several nodes may have the same process id.
    name = f".{os.uname().nodename}-{os.getpid()}.{path.name}"
    partial = path.with_name(name)
    draft = _scratch / name if _scratch else partial
    partial.touch()
    usual = stat.S_IMODE(partial.stat().st_mode)
    try:
        yield draft
        if draft != partial:
            shutil.copyfile(draft, partial)
        # Some libraries make files that nobody else may read.
        if stat.S_IMODE(partial.stat().st_mode) != usual:
            partial.chmod(usual)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        draft.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def remove_partial(path: Path) -> None:
    """Remove what killed processes left of writing `path`. No other process may be writing it."""
    for partial in path.parent.glob(f".*.{path.name}"):
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def appending(path: Path) -> Iterator[BinaryIO]:
    """A file of lines to add to; a line that a kill cut short does not swallow the next one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() and not _ends_with_newline(path):
            file.write(b"\n")
        yield file


def add_json_line(path: Path, value: Any, sync: bool = True) -> None:
    """Add a value as a line to a file; with `sync` it is on disk when this returns."""
    with appending(path) as file:
        file.write(json.dumps(value).encode() + b"\n")
        file.flush()
        if sync:
            os.fsync(file.fileno())


def json_lines(path: Path) -> Iterator[Any]:
    """The value of every line of a file, none where it is absent; a line that a kill cut short is passed over."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
