"""From values to places on a figure, and the ticks of an axis."""

import math
from dataclasses import dataclass

_LARGE, _SMALL = 1e9, 1e-6
"""Ticks from the one on, and below the other, have labels too long to stand beside each other."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """From values, or their logarithms, to coordinates of the figure."""

    low: float
    """Value at ``start``."""
    high: float
    """Value at ``stop``, another one than ``low``."""
    start: float
    """Coordinate of ``low``."""
    stop: float
    """Coordinate of ``high``."""
    logarithmic: bool = False
    """Equal ratios are equal distances; both ends must be positive then."""

    def __call__(self, value: float) -> float:
        """The coordinate of ``value``."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.stop - self.start)


def ticks(low: float, high: float, *, most: int = 6) -> tuple[float, ...]:
    """At most ``most`` round values that enclose ``low`` and ``high``, evenly spaced.

    Args:
        low: the smallest value shown.
        high: the largest; where it does not exceed ``low``, a unit is put around them.
        most: number of ticks, at least 3.
    """
    if not high > low:
        half = 0.5 if abs(low) < _LARGE else abs(low) / 10  # a half would be lost in rounding
        low, high = low - half, low + half
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (factor * power * scale for scale in (1.0, 10.0) for factor in _STEPS):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            break
    return tuple(float(f"{number * step:.12g}") for number in range(first, last + 1))


def logarithmic_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round values between ``low`` and ``high``, both positive: 1, 2 and 5 times powers of ten.

    Where that would be fewer than three, other leading digits are taken too, or even steps.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
        candidates = (float(f"{factor}e{power}") for power in powers for factor in factors)
        found = tuple(value for value in candidates if low <= value <= high)
        if len(found) > 2:
            return found
    even = dict.fromkeys(ticks(low, high))  # once each: steps may be finer than numbers are
    return found if len(found) > 1 else tuple(v for v in even if low <= v <= high)


def tick_labels(values: tuple[float, ...]) -> tuple[str, ...]:
    """The ticks as text, all with the same number of decimals and with a true minus sign.

    Very large and very small ones are written with an exponent, all of them.
    """
    largest = max(map(abs, values), default=0.0)
    if largest >= _LARGE or 0 < largest < _SMALL:
        texts = [f"{value:.3g}" for value in values]
    else:
        decimals = max((_decimals(value) for value in values), default=0)
        texts = [f"{value:,.{decimals}f}" for value in values]
    return tuple(text.replace("-", "\N{MINUS SIGN}") for text in texts)


def _decimals(value: float) -> int:
    """Decimals that ``value`` needs, at most 8."""
    return next((n for n in range(8) if math.isclose(value, round(value, n), rel_tol=1e-6)), 8)
