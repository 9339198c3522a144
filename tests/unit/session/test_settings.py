"""Settings of the session service."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.session.database import create_database_engine
from services.session.settings import SessionSettings


def test_one_machine_needs_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    settings = SessionSettings()
    assert settings.database_url == "sqlite:////home/ada/.local/share/mixdown/session.db"
    assert settings.migrates_at_start


@pytest.mark.parametrize(
    ("url", "said", "migrates"),
    [
        ("sqlite:///x.db", None, True),
        ("sqlite:///x.db", "false", False),
        ("postgresql://db/mixdown", None, False),
        ("postgresql://db/mixdown", "true", True),
    ],
)
def test_a_file_is_migrated_at_start_and_a_server_when_told(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str | None, migrates: bool
) -> None:
    monkeypatch.setenv("MIXDOWN_DATABASE_URL", url)
    if said is not None:
        monkeypatch.setenv("MIXDOWN_MIGRATE_AT_START", said)
    assert SessionSettings().migrates_at_start is migrates


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p@db/mixdown", "postgres://u:p@db/mixdown", "postgresql+psycopg2://db/m"],
)
def test_every_way_to_say_postgresql_means_the_same_driver(url: str) -> None:
    assert create_database_engine(url, 1).url.drivername == "postgresql+psycopg2"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://db/mixdown"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///FILE"):
        create_database_engine(url, 1)


def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    create_database_engine(f"sqlite:///{tmp_path / 'a' / 'b.db'}", 1)
    assert (tmp_path / "a").is_dir()
