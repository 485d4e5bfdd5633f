"""What a test found."""

from dataclasses import dataclass

_NAN = float("nan")


@dataclass(frozen=True)
class TwoSidedTest:
    """The answer of one two-sided test. Differences are model minus reference."""

    test: str
    """What was done: the test that was asked for, "one-sample ...", or "none"."""
    statistic: float = _NAN
    df: float = _NAN
    """Degrees of freedom, where the test has them."""
    p_value: float = _NAN
    difference: float = _NAN
    low: float = _NAN
    """Lower end of the interval of the difference; minus infinity where this n allows none."""
    high: float = _NAN
    note: str = ""
    """What a reader must know: why there is no test, why it is another one."""
