"""One module per stage: what it would do, and doing it."""
