"""Worked examples: each is a module that the workflow finds by its dotted name."""
