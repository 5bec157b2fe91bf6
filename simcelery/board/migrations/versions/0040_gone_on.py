"""A finish says which jobs had gone on in the one that succeeded: the function is as it is now."""

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    """The tables stay as they are."""
