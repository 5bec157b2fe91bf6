"""What an attempt is repeated with."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing yet."""
