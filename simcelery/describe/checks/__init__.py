"""The checks of ``doctor``: what may be wrong, and how to fix it."""
