"""Of the devices of a node all its workers keep one account: the functions are as they are now."""

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    """The tables stay as they are."""
