"""Raw expression as a representation."""

from collections.abc import Sequence
from dataclasses import dataclass

from sclong_core.errors import InputError
from sclong_tasks.encoders.protocol import Coverage, ExpressionTable, Representation


@dataclass(frozen=True)
class RawExpression:
    """The expression itself: what the tasks' own models take.

    Args:
        log: natural log1p of it; else the values as they are.
    """

    log: bool = True
    name: str = "raw"

    def cells(self, expression: ExpressionTable) -> Representation:
        """One number a gene."""
        values = expression.log1p if self.log else expression.values
        facts = {"encoder": self.name, "log1p": self.log, "scale": expression.scale}
        return Representation(
            values, expression.cells, Coverage("genes", len(expression.genes)), facts
        )

    def genes(self, names: Sequence[str]) -> Representation:
        """There is none."""
        raise InputError(f"raw expression represents no genes without cells ({len(names)} asked)")
