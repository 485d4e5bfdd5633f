"""Names that a file may hold and that mean something elsewhere."""

HOSTILE_NAMES = (
    "\x1b]0;title\x07\x1b[31mred",
    "\x9b31m\x08\x7f\x00",
    "[red]bold[/red] :smile:",
    "a\nb\r\n\tc\u2028d\x85e",
    "\u202eevil\u2066\u200f\ufeff",
    '=HYPERLINK("http://example.org","x")',
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "m\n\\input{/etc/passwd}\n%",
    "[x] & % $ # _ { } ~ ^ \\",
    "a | b `c` *d* <script>alert(1)</script> ![e](f)",
    '"><svg onload=alert(1)>&lt;',
    "../../etc/passwd",
    "caf\udce9 \uffff",
    "\u65e5\u672c",
)
"""Names that mean something to terminals, spreadsheets, LaTeX, Markdown, HTML or file systems."""
