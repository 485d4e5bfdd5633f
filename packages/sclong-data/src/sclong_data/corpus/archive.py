"""Zarr stores as single zip archives: equal content gives equal bytes.

One file a shard keeps a corpus of tens of millions of cells at thousands of files, which a
cluster's file system can bear. Members are stored as they are, since zarr has compressed them.
"""

import hashlib
import zipfile
from pathlib import Path

from zarr.storage import MemoryStore

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time a zip archive can name: members carry no time of their own."""
_UNIX, _READABLE = 3, 0o644 << 16


def write_archive(path: Path, store: MemoryStore) -> None:
    """Write all keys of a store to an archive, sorted by name.

    Args:
        path: the file to write; replaced if it is there.
        store: with a zarr hierarchy.
    """
    content = store._store_dict  # noqa: SLF001  # the mapping the store was made around
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name in sorted(content):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system, member.external_attr = _UNIX, _READABLE
            archive.writestr(member, content[name].to_bytes())


def contents_digest(archive: zipfile.ZipFile) -> str:
    """SHA-256 over names, sizes and CRC-32 of the members, in their order."""
    members = ((item.filename, item.file_size, item.CRC) for item in archive.infolist())
    lines = "\n".join(f"{name}\t{size}\t{crc}" for name, size, crc in members)
    return hashlib.sha256(lines.encode()).hexdigest()


def member_offset(archive: zipfile.ZipFile, name: str) -> int:
    """Where the bytes of a member begin in the file, for those who read parts of it.

    Raises:
        KeyError: there is no such member.
        zipfile.BadZipFile: what stands before the member is damaged.
    """
    with archive.open(name):  # compares the member's own header with the directory's
        pass
    start = archive.getinfo(name).header_offset
    handle = archive.fp
    assert handle is not None
    handle.seek(start + 26)
    lengths = handle.read(4)
    return (
        start + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    )
