"""Small tools that every layer may use; each is imported from its own module."""
