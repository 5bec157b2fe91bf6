"""The revision of the schema that this code works on. A test keeps it equal to the newest migration."""

REVISION = "0009"
