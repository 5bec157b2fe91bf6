"""What the end of an attempt makes of its job is said once, in `finish_attempts`; the tables stay."""

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Nothing: the functions are installed as they are now."""
