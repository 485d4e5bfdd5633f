"""The one door to HDF5 files and zarr stores: nothing beyond them is reached, failures have words.

A link in a file can lead to any other file: reading follows it, writing would change what it finds,
and a pipe at its end would be waited for for ever. So no file or store that leads out of itself is
opened. Links of an HDF5 file to places in itself may stay.
"""

import errno
import importlib
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import zarr
from anndata._io.specs.registry import IORegistryError

from sclong_core.errors import InputError

_UNSUSPICIOUS_BYTES = 1 << 30
_RATIO = 1100
"""Bytes that one of a packed array can stand for; gzip reaches 1032."""
_MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")
_FAILURES = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OverflowError,
    zlib.error,
)
"""What h5py, zarr, numcodecs, pandas and scipy raise over damaged files."""
_FILTERS = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32017: "sz",
    32024: "sz3",
    32026: "blosc2",
    32028: "sperr",
}
"""Registered compression filters of HDF5 that the package hdf5plugin brings."""
_CODECS = {"zfpy": "'numcodecs[zfpy]'", "pcodec": "'numcodecs[pcodec]'"}
"""Codecs of zarr whose package is known."""
_UNKNOWN_CODEC = re.compile(r"(?:codec not available|unknown codec)\W*([\w.-]+)", re.IGNORECASE)
_LOCKED = re.compile(r"unable to lock file|lock file, errno = (?:11|35|37)\b", re.IGNORECASE)
_LOOP = re.compile(r"too many (?:soft )?links|levels of symbolic links", re.IGNORECASE)


_DISK = (errno.EIO, errno.ESTALE, errno.ENXIO, errno.ETIMEDOUT)


class _NotInstalledError(ValueError):
    """Values are packed by a filter that this machine does not have."""


@contextmanager
def refuse_unreadable(name: str, what: str) -> Iterator[None]:
    """Turn a failure to read ``what`` of the file ``name`` into an InputError that says why.

    A file that another process has locked, a filter that is not installed, a permission, a loop of
    links, a failing disk, too little memory and damage are different things to do something about.
    """
    try:
        yield
    except _FAILURES as error:
        raise InputError(f"{name}: {what} {_words(error)}") from error
    except IORegistryError as error:
        raise InputError(
            f"{name}: {what} is stored in a way that anndata {version('anndata')} "
            "cannot read: install a newer anndata; if an older one wrote the file, it "
            "is damaged"
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{name}: {what} needs more memory than this machine has "
            f"({' '.join(str(error).split())}): use a larger machine; if the file "
            "cannot be that large, it is damaged"
        ) from error


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file that is whole in itself, for reading.

    Raises:
        InputError: it is empty, damaged, locked, of another format, may not be read, or leads to
            other files.
    """
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read: ask its owner for the permission")
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise InputError(f"{path} is not a plain file: copy its contents into one")
    if state.st_size == 0:
        raise InputError(f"{path} is an empty file: copy or write it again")
    with refuse_unreadable(str(path), "the file"):
        if h5py.is_hdf5(path):
            return _sealed(h5py.File(path, "r"), path)
    raise InputError(
        f"{path} is not an HDF5 file despite its ending: check its contents (a web page "
        "saved by mistake, a compressed file?) and download it again"
    )


def open_zarr_store(path: Path, *, use_consolidated: bool | None = None) -> zarr.Group:
    """Open the root group of a zarr store that is whole in itself, for reading.

    Args:
        path: the folder. It may be a link itself.
        use_consolidated: believe the store's table of contents; by default where there is one.

    Raises:
        InputError: it is not a store, is damaged, may not be read, or leads to other files.
    """
    store_files(path)
    with refuse_unreadable(str(path), "the zarr store"):
        return zarr.open_group(path, mode="r", use_consolidated=use_consolidated)


def is_zarr_store(path: Path) -> bool:
    """Whether a folder is a zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def store_around(path: Path) -> Path | None:
    """The innermost zarr store that a path lies in, or is; None where there is none."""
    return next((folder for folder in (path, *path.parents) if is_zarr_store(folder)), None)


def store_files(path: Path) -> list[Path]:
    """The files of a zarr store, relative to it, in order.

    A link in it may lead to another place in it, but not out of it or around in circles.

    Raises:
        InputError: there is such a link, or something that is neither file nor folder.
    """
    with refuse_unreadable(str(path), "the zarr store"):
        top = path.resolve(strict=True)
        return sorted(_files(path, Path(), top, (top,)))


def _files(store: Path, inside: Path, top: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    with os.scandir(store / inside) as entries:
        for entry in entries:
            place = inside / entry.name
            if entry.is_symlink():
                real = (store / place).resolve(strict=True)
                if not real.is_relative_to(top):
                    raise _leads_out(store, os.fsencode(place), "a link to", os.fsencode(real))
            if entry.is_dir():
                real = (store / place).resolve()
                if real in above:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(place))
                yield from _files(store, place, top, (*above, real))
            elif entry.is_file():
                yield place
            else:
                raise InputError(
                    f"{store}: {place.as_posix()} is neither a file nor a folder: remove it, or "
                    "write the store again"
                )


def _sealed(file: h5py.File, path: Path) -> h5py.File:
    """The file if nothing in it, at any depth, leads to another one."""
    links: list[tuple[bytes, int]] = []
    try:
        # An error within the visit would be lost: links are only noted there, none is followed.
        file.id.links.visit(lambda place, link: links.append((place, link.type)), info=True)
        for place, kind in links:
            _refuse_way_out(file, path, place, kind)
    except BaseException:
        file.close()
        raise
    return file


def _refuse_way_out(file: h5py.File, path: Path, place: bytes, kind: int) -> None:
    """Refuse links out of the file, to nothing or in circles, and data that may be elsewhere."""
    if kind not in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT):
        raise _leads_out(path, place, "a link to", _target(file, place, kind))
    try:
        found = h5py.h5o.get_info(file.id, place)
    except (KeyError, RuntimeError, OSError) as error:
        if kind != h5py.h5l.TYPE_SOFT:
            raise
        ends = "around in a circle" if _LOOP.search(str(error)) else "nowhere in the file"
        raise _odd_link(path, place, ends) from error
    if found.type != h5py.h5o.TYPE_DATASET:
        _refuse_circle(file, path, place, found)
        return
    if kind == h5py.h5l.TYPE_SOFT:
        return  # what it leads to is looked at where it is
    stored = h5py.h5d.open(file.id, place).get_create_plist()
    if stored.get_layout() == h5py.h5d.VIRTUAL:
        names = {stored.get_virtual_filename(at) for at in range(stored.get_virtual_count())}
        sources = ", ".join(sorted(names)[:3]).encode(errors="surrogateescape")
        raise _leads_out(path, place, "a virtual data set of", sources)
    if stored.get_external_count():
        raise _leads_out(path, place, "a data set of values in", stored.get_external(0)[0])


def _refuse_circle(file: h5py.File, path: Path, place: bytes, found: Any) -> None:
    """Refuse a link to a group that it is in."""
    parts = place.split(b"/")
    above = [b".", *(b"/".join(parts[:depth]) for depth in range(1, len(parts)))]
    places = (h5py.h5o.get_info(file.id, name) for name in above)
    if any((one.fileno, one.addr) == (found.fileno, found.addr) for one in places):
        raise _odd_link(path, place, "around in a circle")


def _odd_link(path: Path, place: bytes, ends: str) -> InputError:
    named = place.decode(errors="backslashreplace")
    return InputError(
        f"{path}: {named} is a link that leads {ends}: remove it, or read the file with anndata "
        "and save it again"
    )


def _target(file: h5py.File, place: bytes, kind: int) -> bytes:
    """Where a link out of a file leads."""
    known = kind == h5py.h5l.TYPE_EXTERNAL
    return bytes(file.id.links.get_val(place)[0]) if known else b"an unknown kind of place"


def _leads_out(path: Path, place: bytes, what: str, target: bytes) -> InputError:
    named, elsewhere = (text.decode(errors="backslashreplace") for text in (place, target))
    return InputError(
        f"{path}: {named} is {what} {elsewhere}: scLong only reads the file you name; "
        "write everything into one file (read it with anndata and save it again)"
    )


def require_stored(array: Any) -> None:
    """Reject an array of HDF5 or zarr that is declared enormous, but of which little is there.

    Chunks that were never written read as zeros: a few bytes can promise more than all memory.

    Raises:
        ValueError: it is such an array, or nothing installed can unpack it.
    """
    require_unpackable(array)
    size = math.prod(array.shape or ()) * array.dtype.itemsize  # an empty one has no shape
    if size <= _UNSUSPICIOUS_BYTES:
        return
    stored = array.id.get_storage_size() if isinstance(array, h5py.Dataset) else _stored(array)
    if size > _RATIO * stored:
        raise ValueError(f"{array.name} should have {size:,} bytes, but only {stored:,} exist")


def require_unpackable(array: Any) -> None:
    """Refuse a data set of HDF5 that is packed by a filter which is not installed.

    Raises:
        ValueError: it is; :func:`refuse_unreadable` says so, and what to install.
    """
    if not isinstance(array, h5py.Dataset):
        return  # zarr says so itself
    stored = array.id.get_create_plist()
    for at in range(stored.get_nfilters()):
        number, _, _, named = stored.get_filter(at)
        if not _available(number):
            known = _FILTERS.get(number)
            name = known or named.decode(errors="backslashreplace").strip("\0") or "unknown"
            advice = "pip install hdf5plugin" if known else "install the package that provides it"
            raise _NotInstalledError(
                f"is compressed with the HDF5 filter {name} ({number}), which is not "
                f"installed: {advice}, or save the file again with gzip"
            )


def _available(number: int) -> bool:
    if not h5py.h5z.filter_avail(number):
        with suppress(ImportError):
            importlib.import_module("hdf5plugin")  # registers its filters
    return bool(h5py.h5z.filter_avail(number))


def _stored(array: Any) -> int:
    return int(array.nbytes_stored())


def _words(error: BaseException) -> str:
    """What went wrong, and what to do about it."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    codec = _UNKNOWN_CODEC.search(reason)
    if isinstance(error, _NotInstalledError):
        said = str(error)
    elif isinstance(error, BlockingIOError) or _LOCKED.search(reason):
        said = (
            "is in use: another process has opened the file for writing. Close it "
            "there, or use a copy; if no process has (a file system without locks), "
            "set HDF5_USE_FILE_LOCKING=FALSE"
        )
    elif codec is not None:
        package = _CODECS.get(codec[1], "the package that provides it")
        said = (
            f"is compressed with the codec {codec[1]}, which is not installed: pip "
            f"install {package}, or save the store again without it"
        )
    elif isinstance(error, PermissionError) or number in (errno.EACCES, errno.EPERM):
        place = getattr(error, "filename", None)
        where = f" ({place})" if place else ""
        said = f"may not be read{where}: ask its owner for access"
    elif isinstance(error, RecursionError) or number == errno.ELOOP or _LOOP.search(reason):
        said = "cannot be read: links in it form a circle; save it again without them"
    elif isinstance(error, FileNotFoundError):
        said = f"cannot be read ({reason}): part of it is missing; copy or write it again"
    elif number in _DISK:
        said = f"cannot be read ({reason}): the disk or its connection failed; try again"
    else:
        said = (
            f"cannot be read ({reason}): the file is damaged or cut short; copy or write it again"
        )
    return said
