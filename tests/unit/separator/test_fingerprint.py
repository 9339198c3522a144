"""The fingerprint of the code that results are kept by."""

from __future__ import annotations

from pathlib import Path

from services.separator.backends import fingerprint
from services.separator.backends.fingerprint import code_fingerprint


def test_the_same_code_has_the_same_fingerprint_wherever_it_lies(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "graph.py").write_text("SCALE = 2\n")
        (folder / "notes.txt").write_text(folder.name)
    assert code_fingerprint(one) == code_fingerprint(other)


def test_any_change_of_the_code_changes_it(tmp_path: Path) -> None:
    versions = {"plain": "SCALE = 2\n", "changed": "SCALE = 3\n", "longer": "SCALE = 2\n\n"}
    for name, code in versions.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph.py").write_text(code)
    (tmp_path / "renamed").mkdir()
    (tmp_path / "renamed" / "network.py").write_text(versions["plain"])
    found = {code_fingerprint(folder) for folder in tmp_path.iterdir()}
    assert len(found) == 4


def test_it_is_that_of_the_backends_unless_told_otherwise() -> None:
    assert code_fingerprint() == code_fingerprint(Path(fingerprint.__file__).parent)
    assert len(code_fingerprint()) == 12
