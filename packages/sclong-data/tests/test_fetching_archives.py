"""Archives, honest and hostile."""

import io
import stat
import tarfile
import zipfile

import pytest

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.fetching import Patience, fetch
from sclong_data.fetching.archives import Limits, unpack
from tests.support.server import LoopbackServer


def tarred(path, members, mode="w:gz"):
    """A tar file of (name, content) or prepared TarInfo members."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def special(kind, name="x", target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_honest_archives_are_unpacked(tmp_path, ending):
    members = [("outs/matrix.mtx", b"1"), ("./outs/genes.tsv", b"2" * 3_000_000)]
    path = tmp_path / f"a.{ending}"
    if ending == "zip":
        zipped(path, members)
    else:
        tarred(path, members, f"w:{ending.removeprefix('tar').removeprefix('.')}")
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "outs" / "matrix.mtx").read_bytes() == b"1"
    assert (tmp_path / "out" / "outs" / "genes.tsv").stat().st_size == 3_000_000
    unpack(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a\\..\\x", "C:/x", "C:\\x", ".."])
@pytest.mark.parametrize("write", [tarred, zipped])
def test_members_outside_the_folder_are_refused(tmp_path, write, name):
    path = write(tmp_path / "a", [("fine", b"1"), (name, b"2")])
    with pytest.raises(InputError, match=r"out of its folder|cannot be unpacked"):
        unpack(path, tmp_path / "in" / "out")
    assert not [item for item in tmp_path.rglob("*") if item.is_file() and item != path]


@pytest.mark.parametrize(
    "member",
    [
        special(tarfile.SYMTYPE, target="/etc/passwd"),
        special(tarfile.SYMTYPE, target="../.."),
        special(tarfile.LNKTYPE, target="fine"),
        special(tarfile.CHRTYPE),
        special(tarfile.BLKTYPE),
        special(tarfile.FIFOTYPE),
    ],
    ids=["symbolic", "relative", "hard", "character", "block", "fifo"],
)
def test_links_and_devices_are_refused(tmp_path, member):
    path = tarred(tmp_path / "a.tar.gz", [("fine", b"1"), member])
    with pytest.raises(InputError, match="a link or a device"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_in_zip_files_are_refused(tmp_path):
    info = zipfile.ZipInfo("x")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    zipped(tmp_path / "a.zip", [(info, b"/etc/passwd")])
    with pytest.raises(InputError, match="a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("write", [tarred, zipped])
def test_repeated_names_are_refused(tmp_path, write):
    path = write(tmp_path / "a", [("x", b"1"), ("X", b"2")])
    with pytest.raises(InputError, match="twice"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("write", [tarred, zipped])
def test_bombs_are_refused(tmp_path, write):
    bomb = write(tmp_path / "a", [("x", bytes(5_000_000))])
    with pytest.raises(InputError, match=r"more than .* bytes for its size"):
        unpack(bomb, tmp_path / "out", limits=Limits(unsuspicious_bytes=10_000))
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        unpack(bomb, tmp_path / "out", limits=Limits(bytes=1_000))
    many = write(tmp_path / "b", [(str(number), b"") for number in range(9)])
    with pytest.raises(InputError, match="more than 5 members"):
        unpack(many, tmp_path / "out", limits=Limits(members=5))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", [tarred, zipped])
def test_damaged_archives_are_refused(tmp_path, write):
    path = write(tmp_path / "a", [("x", bytes(range(256)) * 2_000)])
    content = bytearray(path.read_bytes())
    for damaged in (content[: len(content) // 2], b"not an archive", b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged or cut"):
            unpack(path, tmp_path / "out")
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or cut"):
        unpack(path, tmp_path / "out")
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_archives_of_a_manifest_are_unpacked_and_their_members_found(tmp_path):
    tarred(tmp_path / "a.tar.gz", [("sub/x.h5ad", b"x"), ("sub/y.h5ad", b"y")])
    tarred(tmp_path / "b.tar.gz", [("../x.h5ad", b"x")])
    with LoopbackServer() as server:
        server.files["/a.tar.gz"] = (tmp_path / "a.tar.gz").read_bytes()
        server.files["/b.tar.gz"] = (tmp_path / "b.tar.gz").read_bytes()
        names = {"whole": "a.tar.gz", "part": "a.tar.gz#sub/y.h5ad", "none": "a.tar.gz#z"}
        names |= {"hostile": "b.tar.gz", "escape": "a.tar.gz#../../../m.tsv"}
        entries = [
            DatasetEntry(name, source="url", location=server.url(f"/{place}"))
            for name, place in names.items()
            if name != "escape"
        ]
        with pytest.raises(InputError, match="leads out of"):
            DatasetEntry("escape", source="url", location=server.url(f"/{names['escape']}"))
        manifest = Manifest(tuple(entries), tmp_path)
        found = {one.entry.dataset: one for one in fetch(manifest, patience=Patience(attempts=1))}
    assert {name: one.status for name, one in found.items()} == {
        "whole": "fetched",
        "part": "fetched",
        "none": "failed",
        "hostile": "failed",
    }
    assert manifest.local_path(manifest["part"]).read_bytes() == b"y"
    assert manifest.local_path(manifest["whole"]).is_dir()
    assert "out of its folder" in found["hostile"].error


@pytest.mark.fault
@pytest.mark.parametrize("error", [OSError(22, "Invalid argument"), IndexError("x"), ValueError()])
def test_what_zipfile_raises_over_damage_is_refused(tmp_path, monkeypatch, error):
    def damaged(*_, **__):
        raise error

    path = zipped(tmp_path / "a", [("x", b"1")])
    monkeypatch.setattr(zipfile.ZipFile, "open", damaged)
    with pytest.raises(InputError, match="damaged or cut short"):
        unpack(path, tmp_path / "out")
    error = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        unpack(path, tmp_path / "out")
