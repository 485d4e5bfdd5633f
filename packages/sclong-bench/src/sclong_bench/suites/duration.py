"""Times for people."""


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds, as short as they are long."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
