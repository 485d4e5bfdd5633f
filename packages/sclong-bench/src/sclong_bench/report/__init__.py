"""The report of a benchmark: one page, or its tables and figures as files."""
