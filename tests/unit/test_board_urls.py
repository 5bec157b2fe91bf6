"""The URL of a board means the same with SQLAlchemy and without."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.pq import Conninfo
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from simcelery.board import faults
from simcelery.urls import check_postgres, postgres_arguments, postgres_hosts

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
ESCAPED = WORDS.map(lambda text: quote(text, safe=""))
# What is typed as it is, where a percent sign begins no escape.
TYPED = st.text("abc:/?#[]%!~ü", min_size=1, max_size=8)
HOSTS = st.sampled_from(["", "localhost", "db.example.org", "[::1]", "127.0.0.1"])
QUERIES = st.sampled_from(
    [
        *("", "?", "?sslmode=verify-full&sslrootcert=system", "?host=/var/run/postgresql", "?host=a&port=1"),
        *(
            "?host=a:1&host=b:2",
            "?host=a,b&port=1,2",
            "?host=a:1",
            "?host=a&host=b",
            "?options=",
            "?a=b%20c+d",
        ),
        "?target_session_attrs=read-write&host=a,b",
    ]
)


@given(
    st.sampled_from(["postgresql", "postgres", "postgresql+psycopg"]),
    st.none() | st.tuples(ESCAPED, st.none() | ESCAPED | TYPED),
    HOSTS,
    st.none() | st.integers(1, 65535),
    st.none() | ESCAPED,
    QUERIES,
)
def test_the_driver_is_told_what_sqlalchemy_would_tell_it(
    scheme: str, who: tuple[str, str | None] | None, host: str, port: int | None, name: str | None, query: str
) -> None:
    url = f"{scheme}://"
    if who is not None:
        url += who[0] + ("" if who[1] is None else f":{who[1]}") + "@"
    url += host + ("" if port is None else f":{port}") + ("" if name is None else f"/{name}") + query
    check_postgres(url)
    made = make_url(url)
    dialect = PGDialect_psycopg()
    _, expected = dialect.create_connect_args(made)
    told = {key: str(value) for key, value in expected.items() if key not in ("context", "client_encoding")}
    if "," in told.get("host", ""):
        told.setdefault("target_session_attrs", "read-write")
    assert postgres_arguments(url) == told
    if "?host" not in query and "&host" not in query:
        where = f"{made.host or 'localhost'}:{made.port or 5432}"
        assert faults.address(url) == f"{where}/{made.database or ''}"


@pytest.mark.parametrize(
    ("places", "hosts"),
    [
        ("a,b", [("a", 5432), ("b", 5432)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("a:1,b", [("a", 1), ("b", 5432)]),
        ("a,b:2", [("a", 5432), ("b", 2)]),
        ("[::1]:1,[::2],c", [("::1", 1), ("::2", 5432), ("c", 5432)]),
    ],
)
def test_several_hosts_are_what_libpq_makes_of_them(places: str, hosts: list[tuple[str, int]]) -> None:
    url = f"postgresql://me:p%40w@{places}/d"
    check_postgres(url)
    assert postgres_hosts(url) == hosts
    parsed = {one.keyword: one.val for one in Conninfo.parse(url.encode()) if one.val}
    told = {name.encode(): str(value).encode() for name, value in postgres_arguments(url).items()}
    assert told.pop(b"target_session_attrs") == b"read-write"
    assert told == parsed
    assert faults.address(url) == f"{','.join(f'{host}:{port}' for host, port in hosts)}/d"


def test_of_several_hosts_the_one_that_takes_writes_is_meant_unless_the_url_says_otherwise() -> None:
    said = postgres_arguments("postgresql://a,b/d?target_session_attrs=primary")
    assert said["target_session_attrs"] == "primary"
    assert "target_session_attrs" not in postgres_arguments("postgresql://a/d")


@pytest.mark.parametrize("secret", ["hunter2", "p:/?#w", "%40"])
def test_an_address_holds_no_password(secret: str) -> None:
    assert faults.address(f"postgresql://me:{secret}@h:1/d?password=x") == "h:1/d"
