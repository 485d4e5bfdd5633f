"""Where files lie that tests may read and no checkout holds."""

from pathlib import Path


def shared_folder(name: str) -> Path | None:
    """The folder ``name`` of the shared files that lie beside a checkout, None where there is none.

    A test that needs one skips without it and says so.
    """
    for parent in Path(__file__).resolve().parents:
        if (parent / "packages" / "sclong-core").is_dir():
            folder = parent.parent / "shared" / name
            return folder if folder.is_dir() else None
    return None
