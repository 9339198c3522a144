"""The golden set: what a few hundred prompts mean, written down as data."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.interpreter.builtin.engine import BuiltinEngine
from services.interpreter.evaluate import main, read_cases
from services.interpreter.golden import Case, mismatch, outcome_of

GOLDEN = Path(__file__).with_name("golden.jsonl")
CASES = read_cases(GOLDEN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.identifier)
def test_a_prompt_means_what_the_golden_set_says(case: Case) -> None:
    found = BuiltinEngine().interpret(case.prompt, case.context)

    assert mismatch(outcome_of(found), case.expect, case.context.mix) == ""
    found.mix.check(case.context.stems)


def test_the_golden_set_is_large_and_has_no_case_twice() -> None:
    assert len(CASES) >= 220
    assert len({case.identifier for case in CASES}) == len(CASES)


@pytest.mark.parametrize("words", [1, 2, 3, -1, -2, -3])
def test_a_prompt_cut_short_is_understood_or_asked_about(words: int) -> None:
    engine = BuiltinEngine()

    for case in CASES:
        said = case.prompt.split()
        cut = said[-words:] if words > 0 else said[:words]
        found = engine.interpret(" ".join(cut), case.context)

        found.mix.check(case.context.stems)
        assert found.reply


def test_the_evaluation_tells_accuracy_and_writes_outcomes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = tmp_path / "outcomes.jsonl"

    assert main([str(GOLDEN), "--outcomes", str(outcomes), "--json"]) == 0

    assert '"accuracy": 1.0' in capsys.readouterr().out
    assert len(outcomes.read_text(encoding="utf-8").splitlines()) == len(CASES)


def test_a_wrong_edit_is_told_apart_from_a_question_too_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(
        '{"id": "a-1", "prompt": "vocals up", "expect": [{"type": "remix", "mix": {}}]}\n'
        '{"id": "a-2", "prompt": "vocals", "expect": [{"type": "remix", "mix": {}}]}\n',
        encoding="utf-8",
    )

    main([str(cases)])

    printed = capsys.readouterr().out
    assert "wrong edits: 50.00% a-1" in printed
    assert "unneeded questions: 1" in printed
    assert "a-1: vocals.gain_db is 3.0, but should be neutral" in printed
