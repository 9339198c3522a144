"""Who may call what `mixdown up` starts."""

import subprocess
import sys

import pytest

from services.local.envoy import Authentication
from services.local.suite import Edge, plan_suite
from tests.patience import PATIENCE_SECONDS


def gateway_user(folder, **edge) -> str:
    processes = plan_suite(folder, Edge(port=0, **edge)).processes()
    (gateway,) = (process for process in processes if process.name == "gateway")
    return gateway.environment["MIXDOWN_DEVELOPMENT_USER"]


def test_without_tokens_everybody_is_the_development_user(tmp_path, monkeypatch):
    monkeypatch.delenv("MIXDOWN_DEVELOPMENT_USER", raising=False)
    assert gateway_user(tmp_path) == "local"
    monkeypatch.setenv("MIXDOWN_DEVELOPMENT_USER", "alice")
    assert gateway_user(tmp_path) == "alice"


def test_with_tokens_there_is_no_development_user_whatever_is_set(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXDOWN_DEVELOPMENT_USER", "alice")
    jwks = tmp_path / "jwks.json"
    jwks.write_text("{}")
    authentication = Authentication(jwks, "https://issuer.example.com/", "mixdown")
    assert gateway_user(tmp_path, authentication=authentication) == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--host", "0.0.0.0"], "others can reach 0.0.0.0"),
        (["--issuer", "https://issuer.example.com/"], "go together"),
        (["--jwks", "none.json", "--issuer", "a", "--audience", "b"], "no file none.json"),
        (
            ["--development", "--jwks", "none.json", "--issuer", "a", "--audience", "b"],
            "without --development",
        ),
    ],
)
def test_what_would_let_everybody_in_by_mistake_does_not_start(tmp_path, arguments, told):
    outcome = subprocess.run(
        [
            *(sys.executable, "-m", "services.local"),
            *("--data-folder", tmp_path, "--port", "0", *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert outcome.returncode == 1
    assert told in outcome.stderr
