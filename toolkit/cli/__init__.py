"""Command line of the toolkit: the only place that prints, parses arguments or exits."""
