"""Workers renew their leases, and take their turns at recovery, by functions; they are installed anew."""

revision = "0059"
down_revision = "0058"


def upgrade() -> None:
    pass
