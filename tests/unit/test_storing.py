"""Names of artifacts, and files that a store gives back whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcelery.errors import ParametersError
from simcelery.storing import store
from simcelery.storing.names import checked
from simcelery.storing.program import ToStore, put_all
from simcelery.storing.store import ChangedError, StoreError
from simcelery.urls import check_store
from simcelery.worker.context.artifacts import Artifacts

HOSTILE = [
    "", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "./a",
    "a\nb", "a\0b", "a\u202eb", "a\ud800",
    "a\\b", "x" * 201, "é" * 101, "/".join(["abc"] * 200), None, 5, b"x",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name)[:20])
def test_a_name_that_leads_elsewhere_or_is_no_line_is_refused_in_one_line(name: object) -> None:
    with pytest.raises(ValueError, match="cannot be the name of an artifact") as refused:
        checked(name)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("name", ["traj.nc", "out/traj.nc", "a b+c%20#?.x", "Übergang.nc", ".x", "x" * 200])
def test_other_names_are_taken_as_they_are(name: str, tmp_path: Path) -> None:
    assert checked(name) == name
    source = tmp_path / "source"
    source.write_bytes(b"1")
    url = store.url_of(f"{tmp_path}/100%20 #?", "b", name)
    store.put(source, url, 1)
    store.get(url, tmp_path / "back", store.checksum(source))
    assert (tmp_path / "back").read_bytes() == b"1"
    assert store.is_of(f"{tmp_path}/100%20 #?", url)
    store.delete(url)
    store.delete(url)
    with pytest.raises(StoreError, match="it is not there"):
        store.get(url, tmp_path / "again", "")


def test_what_was_changed_in_the_store_is_not_given_out(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    sha256 = store.checksum(tmp_path / "a")
    (tmp_path / "a").write_text("two")
    with pytest.raises(ChangedError, match="is not the file that was registered: its SHA-256 is"):
        store.get(str(tmp_path / "a"), tmp_path / "b", sha256)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_grew_meanwhile_is_not_stored(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("longer")
    with pytest.raises(ChangedError, match="has 6 bytes, and not 3"):
        put_all([ToStore(str(tmp_path / "a"), f"{tmp_path}/b", 3)], timeout=0.1)


def test_a_store_that_is_full_or_away_is_named_after_its_patience(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=f"cannot store a at {tmp_path}/file/b: "):
        put_all([ToStore(str(tmp_path / "a"), f"{tmp_path}/file/b", 1)], timeout=0.1)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("data", "must be the absolute path of a folder, or a URL"),
        ("s3://", "must be the absolute path"),
        ("3s://x", "must be the absolute path"),
        ("sftp://me:secret@host/x", "must hold no password"),
        ("/data\n", "printable"),
    ],
)
def test_a_store_that_cannot_be_one_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_store(url)
    assert "secret" not in str(refused.value)


def test_what_is_registered_has_to_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    artifacts = Artifacts(lambda: tmp_path)
    assert artifacts.register("there", None) == tmp_path / "there"
    assert artifacts.register(tmp_path / "there", "other/name") == tmp_path / "there"
    for path, name in (("away", None), (".", None), ("there", "../up"), ("a\0b", None), ("x" * 300, None)):
        with pytest.raises(ParametersError, match="artifact: "):
            artifacts.register(path, name)
