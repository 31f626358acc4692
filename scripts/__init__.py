"""Command lines: thin, all they do can be imported from ``common``."""
