"""Claim and finish became functions. Those of now are installed after the last migration (`migrate`)."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
