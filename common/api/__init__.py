"""Trained models in a few lines of Python, for those who want answers and no configurations."""
