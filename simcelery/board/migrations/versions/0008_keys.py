"""What finds a job by its parameters."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Nothing yet."""
