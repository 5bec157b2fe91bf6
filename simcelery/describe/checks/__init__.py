"""What may be wrong, and what to do about it: the checks of ``doctor``."""
