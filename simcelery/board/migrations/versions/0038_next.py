"""Of escalations, shared queues and the next job of a lane: the functions are as they are now."""

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """The tables stay as they are."""
