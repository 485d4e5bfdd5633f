"""Phrases that must not come back: ``python -m benchmarks.phrases`` names file and line of each.

A reader should never notice the prose. Each of these was, and has a plain word in its place.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/**/*.md",
    "packages/*/README.md",
    "packages/*/src/**/*.py",
)
PHRASES = {
    "is no setting": "is not a setting; expected NAME=VALUE",
    "what is found is said": "scLong reports what it detects",
    "what is unclear is refused": "rejects anything ambiguous",
    "how many matched is said": "the match rate is reported",
    "what a dry run reckons": "assumptions used by --dry-run",
    "ask to overwrite it; it is the same run": "same run; use --overwrite to replace it",
    "it is the same run; ask to overwrite it": "same run; use --overwrite to replace it",
    "speak of the noise of training alone": "measure training noise only",
    "does nothing where nothing is to be done": "is a no-op when up to date",
    "what it started decides": "srun determines the number of processes",
    "are genes named rightly": "check --gene-column",
    "because you say so": "as requested by --normalisation",
    "is no folder": "is not a folder",
    "is no table": "is not a table",
    "is no file": "is not a file",
    "is no command": "is not a command",
    "values are no numbers": "values are not numbers",
    "made anew": "rebuilt, written again",
    "begin anew": "start from scratch",
    "begins anew": "starts again",
    "nothing is promised": "no rate is guaranteed",
    "is said in one line": "gives a one-line error",
    "that is said": "which scLong reports",
    "told right": "labelled correctly",
    "it goes on where": "it resumes where",
    "the same command goes on": "repeat the command to resume",
    "are passed over": "are skipped",
    "begun again": "restarted",
    "what is not ours": "your files",
}
"""Each with what to write."""


def found(root: Path = ROOT) -> Iterator[str]:
    """One line for each place that has one, breaks of lines read as spaces."""
    for pattern in PLACES:
        for path in sorted(root.glob(pattern)):
            text = path.read_text(encoding="utf-8").lower()
            flat = text.replace("\n", " ")
            for phrase, better in PHRASES.items():
                place = flat.find(phrase)
                if place >= 0:
                    line = text.count("\n", 0, place) + 1
                    yield f"{path.relative_to(root)}:{line}: {phrase!r}: write {better!r}"


def main() -> int:
    """Print all places; status 1 if there is one."""
    lines = list(found())
    print("\n".join(lines) or "none of the phrases is there")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
