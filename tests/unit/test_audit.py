"""What `make check` says of packages with known holes."""

from __future__ import annotations

from tests import audit


def test_each_package_with_holes_is_a_line() -> None:
    holes = [{"id": "CVE-1", "fix_versions": ["2.0"]}, {"id": "CVE-2", "fix_versions": []}]
    report = {
        "dependencies": [
            {"name": "sound", "version": "1.0", "vulns": []},
            {"name": "skipped", "skip_reason": "it is ours"},
            {"name": "bad", "version": "1.0", "vulns": holes},
        ]
    }
    assert audit.holes(report) == ["bad 1.0: CVE-1 (mended in 2.0), CVE-2 (mended in no version)"]
