"""Conditions as people write them: blanks, capitals, and other words for the control.

``" A + CTRL"``, ``"A+non-targeting_12"`` and ``"A+B+ctrl"`` are ``"A+ctrl"``, the same, and
``"A+B"``. What could be a gene as well as a word for the control is refused.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_perturbation.conditions import CONTROL

_LOG = logging.getLogger("sclong")
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_JOINTS = re.compile(r"[\s_\-./:#|]+")
_NAMED = (
    "nt|ntc|neg|negative|non?target(?:ing|ed)?|safe(?:target(?:ing|ed)?|harbou?r)|scrambled?"
    "|intergenic|mock|unperturbed|nonperturbed|untreated"
)
_CONTROL = re.compile(
    rf"(?:sg)?(?:(?:{_NAMED}|safe|scr)?(?:ctrls?|controls?|ctl)|{_NAMED})"
    r"(?:sgrna|grna|guide|sg)?\d*"
)
_MISSING = {"", "nan", "none", "null", "na", "n/a", "<na>"}


def is_control_word(word: str) -> bool:
    """Whether people call the control by it: "CTRL", "non-targeting_7", "NegCtrl0", "NT"."""
    return _CONTROL.fullmatch(_JOINTS.sub("", word).lower()) is not None


class Spelling:
    """Conditions of a file as GEARS writes them; what was written otherwise is kept for the log.

    Args:
        genes: measured genes, whose names win over other spellings of them.
        ids: another name of each gene, such as its Ensembl id, with or without version.
    """

    def __init__(self, genes: Iterable[str], ids: Mapping[str, str] = MappingProxyType({})) -> None:
        self._genes = set(genes)
        self._ids = {name: gene for name, gene in ids.items() if name not in self._genes}
        self._ids |= {
            name.partition(".")[0]: gene
            for name, gene in self._ids.items()
            if name.startswith("ENS")
        }
        self._known: dict[str, str] = {}
        for gene in sorted(self._genes):
            self._known[gene.casefold()] = "" if gene.casefold() in self._known else gene
        self.controls: set[str] = set()
        """Words that were taken for the control."""
        self.renamed: dict[str, str] = {}
        """Genes that were written with other capitals."""
        self.by_id: dict[str, str] = {}
        """Genes that were written by their other name."""

    def condition(self, text: str) -> str:
        """``ctrl``, ``A+ctrl``, ``ctrl+A`` or ``A+B``; else the text as it is.

        Raises:
            InputError: a word is missing, or is both a gene and a word for the control.
        """
        words = [word.translate(_UNSEEN).strip() for word in text.split("+")]
        if len(words) > 1 and any(word.lower() in _MISSING for word in words):
            raise InputError(f"{text!r} is not a condition: it lacks a gene beside the +")
        control = [self._is_control(word) for word in words]
        genes = [self._gene(word) for word, no in zip(words, control, strict=True) if not no]
        if not genes:
            return CONTROL
        if len(genes) == 1 and any(control):
            return f"{CONTROL}+{genes[0]}" if control[0] else f"{genes[0]}+{CONTROL}"
        return "+".join(genes)

    def target(self, text: str) -> str:
        """The condition of a target: of one gene alone, where there is no other.

        Raises:
            InputError: as :meth:`condition`, or there is none.
        """
        found = self.condition(text)
        if found.lower() in _MISSING:
            raise InputError(f"{text!r} is not a target: name a gene, or non-targeting")
        return found if "+" in found or found == CONTROL else f"{found}+{CONTROL}"

    def report(self, name: str) -> None:
        """Say what was written otherwise."""
        if self.controls:
            _LOG.info("%s: read as the control %s: %s", name, CONTROL, shown(sorted(self.controls)))
        if self.by_id:
            pairs = [f"{old} for {new}" for old, new in sorted(self.by_id.items())]
            _LOG.info(
                "%s: %d perturbed genes are written by their ids: %s",
                name,
                len(pairs),
                shown(pairs),
            )
        if self.renamed:
            pairs = [f"{old} for {new}" for old, new in sorted(self.renamed.items())]
            _LOG.warning(
                "%s: %d perturbed genes are written with other capitals: %s",
                name, len(pairs), shown(pairs),
            )  # fmt: skip

    def _is_control(self, word: str) -> bool:
        if word == CONTROL:
            return True
        if not is_control_word(word):
            return False
        if word in self._genes:
            if not re.search(r"\d$", word):
                raise InputError(
                    f"{word!r} is a gene of the file, and a word for the control: write the "
                    f"control as {CONTROL!r}"
                )
            return False
        self.controls.add(word)
        return True

    def _gene(self, word: str) -> str:
        if word in self._genes or not word:
            return word
        by_id = self._ids.get(word) or self._ids.get(word.partition(".")[0])
        if by_id is not None:
            self.by_id[word] = by_id
            return by_id
        found = self._known.setdefault(word.casefold(), word) or word
        if found != word:
            self.renamed[word] = found
        return found
