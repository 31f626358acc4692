"""Vitrine's library: everything the bundles' configurations name, one idea per file."""

__version__ = "0.1.0"
