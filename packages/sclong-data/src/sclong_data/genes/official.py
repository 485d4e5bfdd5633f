"""Where the published tables of genes, annotations and vectors are, in the versions used here."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.files import sha256_file
from sclong_data.text_files import read_lines

_LOG = logging.getLogger("sclong")
LOCK_FILE = "sources.lock.json"
"""In the folder of fetched files: the SHA-256 of each, from its first fetch on."""
_GENCODE_FTP = "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human"
_GENCODE = f"{_GENCODE_FTP}/release_48"
_GO = "https://release.geneontology.org/2025-06-01"
_STRING = "https://stringdb-downloads.org/download"


@dataclass(frozen=True)
class OfficialFile:
    """A published file."""

    what: str
    """In a few words, for messages."""
    url: str
    file: str
    """Name under which it is kept; it says the version."""
    md5_list: str | None = None
    """Address of the publisher's list of MD5 sums, if there is one."""


HGNC = OfficialFile(
    "HGNC complete set, 2025-07-01",
    "https://storage.googleapis.com/public-download-files/hgnc/archive/archive/quarterly/tsv/"
    "hgnc_complete_set_2025-07-01.txt",
    "hgnc_complete_set_2025-07-01.txt",
)
GENCODE = OfficialFile(
    "GENCODE 48",
    f"{_GENCODE}/gencode.v48.annotation.gtf.gz",
    "gencode.v48.annotation.gtf.gz",
    f"{_GENCODE}/MD5SUMS",
)
GENCODE_32 = OfficialFile(
    "GENCODE 32",
    f"{_GENCODE_FTP}/release_32/gencode.v32.annotation.gtf.gz",
    "gencode.v32.annotation.gtf.gz",
)
"""Its names are those of 10x Genomics' reference 2020-A."""
GENCODE_19 = OfficialFile(
    "GENCODE 19",
    f"{_GENCODE_FTP}/release_19/gencode.v19.annotation.gtf.gz",
    "gencode.v19.annotation.gtf.gz",
)
"""The last on GRCh37: names of the first years of single-cell data."""
GENE_TABLE = (GENCODE, HGNC, GENCODE_32, GENCODE_19)
"""What names of genes are looked up in by default."""
GO_TERMS = OfficialFile(
    "Gene Ontology, 2025-06-01", f"{_GO}/ontology/go-basic.obo", "go-basic-2025-06-01.obo"
)
GO_ANNOTATIONS = OfficialFile(
    "GO annotations, 2025-06-01",
    f"{_GO}/annotations/goa_human.gaf.gz",
    "goa_human-2025-06-01.gaf.gz",
)
GENE2GO = OfficialFile(
    "NCBI gene2go, the version of the first fetch",
    "https://ftp.ncbi.nlm.nih.gov/gene/DATA/gene2go.gz",
    "gene2go.gz",
)
GENE2VEC = OfficialFile(
    "Gene2vec, 200 dimensions, iteration 9",
    "https://raw.githubusercontent.com/jingcheng-du/Gene2vec/master/pre_trained_emb/"
    "gene2vec_dim_200_iter_9.txt",
    "gene2vec_dim_200_iter_9.txt",
)
STRING_LINKS = OfficialFile(
    "STRING links 12.0",
    f"{_STRING}/protein.links.v12.0/9606.protein.links.v12.0.txt.gz",
    "9606.protein.links.v12.0.txt.gz",
)
STRING_ALIASES = OfficialFile(
    "STRING aliases 12.0",
    f"{_STRING}/protein.aliases.v12.0/9606.protein.aliases.v12.0.txt.gz",
    "9606.protein.aliases.v12.0.txt.gz",
)


def obtain(
    wanted: OfficialFile,
    folder: str | PathLike[str],
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """The file in ``folder``, fetched if it is not there, and always verified.

    A file is checked against the publisher's checksum where there is one, when it is fetched; and
    against the lock file whenever it is used. What is fetched first is noted there.

    Args:
        wanted: the file.
        folder: of fetched files; made if need be.
        progress: called with the bytes that came, and those in all where that is known.

    Raises:
        InputError: the file cannot be fetched, or is not what the publisher or the lock file says.
    """
    from sclong_data.fetching.checksums import Lock  # noqa: PLC0415
    from sclong_data.fetching.download import download  # noqa: PLC0415  # files need no network

    place = Path(folder) / wanted.file
    lock = Lock(Path(folder) / LOCK_FILE)
    expected = lock.expected(wanted.url)
    if place.is_file():
        found = sha256_file(place)
        if expected is not None and found != expected:
            raise InputError(
                f"{place} is not the file that was fetched (SHA-256 {found}, not {expected}): "
                "remove it to fetch it again"
            )
        lock.record(wanted.url, found, place.stat().st_size)
        return place
    _LOG.info("fetching %s from %s", wanted.what, wanted.url)
    found = download(wanted.url, place, sha256=expected, progress=progress)
    if wanted.md5_list is not None:
        sums = place.with_name(f"{wanted.file}.md5sums")
        download(wanted.md5_list, sums)
        try:
            _check_md5(place, sums, wanted)
        except InputError:
            place.unlink()
            raise
    lock.record(wanted.url, found, place.stat().st_size)
    return place


def _check_md5(place: Path, sums: Path, wanted: OfficialFile) -> None:
    """Compare a file with the publisher's sum."""
    name = wanted.url.rpartition("/")[2]
    listed = {
        row[-1].lstrip("*./"): row[0] for _, line in read_lines(sums) if (row := line.split())
    }
    if name not in listed:
        raise InputError(f"{wanted.md5_list} names no checksum of {name}: it was not kept")
    with place.open("rb") as handle:
        found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != listed[name].lower():
        raise InputError(
            f"{wanted.url} has the MD5 {found}, but the publisher says {listed[name]}: it was "
            "damaged on the way, and was not kept; try again"
        )
