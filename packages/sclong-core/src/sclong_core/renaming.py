"""Putting a finished file or folder under its name in one step that cannot lose the old one.

Linux (``renameat2``) and macOS (``renamex_np``) exchange two names, or refuse to rename over
something, in a single step. Some file systems (NFS, some parallel ones) know neither; what is done
there instead is stated at each function.
"""

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

_UNSUPPORTED = {
    errno.ENOSYS,
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EMLINK,
}
"""What file systems say that cannot exchange names, or have no hard links."""
_HERE = -100
"""``AT_FDCWD``: a relative path begins in the working directory."""


def put_file(new: Path, final: Path, *, overwrite: bool) -> None:
    """Give a finished file its name.

    Without ``overwrite`` a name that is taken is never replaced, not even one that was taken a
    moment ago: the file system decides, by a rename that refuses it or by a hard link. Where it
    has neither, a look before the rename must do.

    Raises:
        FileExistsError: the name is taken and ``overwrite`` is false.
    """
    if overwrite:
        new.replace(final)
    elif not _rename_new(new, final):
        try:
            final.hardlink_to(new)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            _refuse_taken(final)
            new.replace(final)
        else:
            new.unlink()


def put_folder(new: Path, final: Path, *, overwrite: bool) -> Path | None:
    """Give a finished folder its name.

    Returns:
        Where an old folder of that name is now, for the caller to remove; None if there was none.

    An old folder and the new one exchange their names, so that one of them is under the name at
    every moment. Where the file system cannot do that, the old folder is set aside first, under a
    name that :func:`set_aside` finds.

    Raises:
        FileExistsError: the name is taken and ``overwrite`` is false.
    """
    if not os.path.lexists(final) and _put_new_folder(new, final):
        return None
    if not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(final))
    if _exchange(new, final):
        return new
    old = final.with_name(f".{final.name}.old-{os.getpid()}")
    final.rename(old)
    try:
        new.rename(final)
    except BaseException:
        old.rename(final)
        raise
    return old


def set_aside(final: Path) -> Path | None:
    """The old folder that an interrupted :func:`put_folder` left beside a name that is free now."""
    if os.path.lexists(final) or not final.parent.is_dir():
        return None
    start = f".{final.name}.old-"
    found = [path for path in final.parent.iterdir() if path.name.startswith(start)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _put_new_folder(new: Path, final: Path) -> bool:
    """Rename a folder; False if the name was taken by now."""
    try:
        if not _rename_new(new, final):
            new.rename(final)  # replaces nothing but an empty folder
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        return False
    return True


def _refuse_taken(final: Path) -> None:
    if os.path.lexists(final):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(final))


def _rename_new(new: Path, final: Path) -> bool:
    """Rename unless the name is taken; False if that cannot be done in one step here."""
    return _rename(new, final, linux=1, macos=4)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names; False if that cannot be done here."""
    return _rename(one, other, linux=2, macos=2)


def _rename(old: Path, new: Path, *, linux: int, macos: int) -> bool:
    """The system's rename with a flag; False where system or file system do not know it.

    Raises:
        OSError: it knows the flag, and cannot rename.
    """
    call = _system_rename()
    if call is None:
        return False
    names = (os.fsencode(old), os.fsencode(new))
    failed = call(*names, macos if sys.platform == "darwin" else linux)
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), os.fspath(new))


def _system_rename() -> Callable[[bytes, bytes, int], int] | None:
    """``rename`` with flags as the C library has it; None if it has none."""
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        apple = getattr(library, "renamex_np", None)
        return None if apple is None else lambda old, new, flag: int(apple(old, new, flag))
    linux = getattr(library, "renameat2", None)
    if linux is None:
        return None
    return lambda old, new, flag: int(linux(_HERE, old, _HERE, new, ctypes.c_uint(flag)))
