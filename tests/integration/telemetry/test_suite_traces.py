"""One trace of a turn shows what every service did for it, through the real Envoy."""

from __future__ import annotations

import pytest

from tests.integration.telemetry.collector import SERVER, Span
from tests.integration.telemetry.conftest import UNCLEAR, Observed

ALL = {f"mixdown-{name}" for name in ("gateway", "session", "interpreter", "remixer", "separator")}


@pytest.fixture(scope="module")
def spans(observed: Observed) -> list[Span]:
    return observed.collector.settled_trace(observed.traces["first"])


def ancestors(spans: list[Span], span: Span) -> list[str]:
    """Returns the names of the spans above one, the nearest first."""
    by_id = {each.span_id: each for each in spans}
    names = []
    while (span := by_id.get(span.parent_id)) is not None:
        names.append(span.name)
    return names


def test_a_turn_is_one_trace_through_all_services(spans: list[Span]):
    assert {span.service for span in spans} == ALL


def test_the_trace_begins_with_the_callers_span_which_envoy_passes_on_untouched(
    spans: list[Span],
):
    (root,) = (span for span in spans if span.parent_id == "1" * 16)
    assert root.service == "mixdown-gateway"
    assert root.name == "mixdown.gateway.v1.GatewayService/Converse"
    assert all(ancestors(spans, span)[-1:] == [root.name] for span in spans if span is not root)


def test_calls_lie_below_the_calls_that_made_them(spans: list[Span]):
    (separate,) = (
        span
        for span in spans
        if span.kind == SERVER and span.name.endswith("SeparatorService/Separate")
    )
    assert separate.service == "mixdown-separator"
    assert ancestors(spans, separate) == [
        "mixdown.separator.v1.SeparatorService/Separate",
        "mixdown.remixer.v1.RemixerService/Render",
        "mixdown.remixer.v1.RemixerService/Render",
        "turn",
        "mixdown.gateway.v1.GatewayService/Converse",
    ]


def test_the_trace_shows_the_steps_of_the_separation(spans: list[Span]):
    steps = [span for span in spans if ancestors(spans, span)[:1] == ["computation"]]
    names = [span.name for span in sorted(steps, key=lambda span: span.start)]
    assert names == ["wait for a place", "measure", "separate"]
    assert {span.service for span in steps} == {"mixdown-separator"}


def test_the_trace_shows_statements_without_their_values(spans: list[Span]):
    statements = [span for span in spans if span.name.startswith("sql ")]
    assert {"sql SELECT", "sql INSERT", "sql UPDATE"} <= {span.name for span in statements}
    for span in statements:
        assert span.service == "mixdown-session"
        above = ancestors(spans, span)
        assert above[0].startswith("transaction ")
        assert above[1].startswith("mixdown.session.v1.SessionService/")
    assert not [span for span in spans if "3 dB louder" in str(span.attributes)]


def test_the_trace_shows_what_was_read_from_and_written_to_the_blob_store(spans: list[Span]):
    blobs = [span for span in spans if span.name.startswith("blob ")]
    assert {span.service for span in blobs} >= {"mixdown-remixer", "mixdown-separator"}
    written = [span.attributes["mixdown.bytes"] for span in blobs if span.name == "blob write"]
    assert len(written) == 5  # four stems and the mix
    assert all(written)
    read = [span.attributes["mixdown.bytes"] for span in blobs if span.name == "blob read"]
    assert sum(read) > 0


def test_every_span_names_its_turn_and_ends_after_it_began(spans: list[Span]):
    served = [span for span in spans if span.kind == SERVER]
    turns = {span.attributes.get("mixdown.turn_id") for span in served}
    turns.discard(None)  # the calls before the turn had a name
    assert len(turns) == 1
    assert all(span.end > span.start for span in spans)


def test_stored_stems_are_not_computed_again(observed: Observed):
    spans = observed.collector.settled_trace(observed.traces["stored"])
    assert {span.service for span in spans} == ALL
    assert not [span for span in spans if span.name == "computation"]


def test_questions_to_the_language_model_have_spans_without_the_words(observed: Observed):
    spans = observed.collector.settled_trace(observed.traces["asked"])
    questions = [span for span in spans if span.name == "chat scripted"]
    assert [span.attributes["mixdown.stage"] for span in questions] == [
        "classification",
        "separation",
    ]
    for span in questions:
        assert span.service == "mixdown-interpreter"
        assert span.attributes["mixdown.prompt_tokens"] == 100
    assert not [span for span in spans if UNCLEAR in str(span.attributes)]


def test_a_turn_that_is_taken_up_again_links_to_the_trace_in_which_it_was_begun(
    observed: Observed,
):
    left = observed.collector.settled_trace(observed.traces["left"])
    (cut_off,) = (span for span in left if span.name == "turn")
    assert cut_off.attributes["mixdown.cancelled"] is True
    back = observed.collector.settled_trace(observed.traces["came back"])
    (turn,) = (span for span in back if span.name == "turn")
    assert turn.links == (observed.traces["left"],)
    assert turn.attributes["mixdown.turn_id"] == cut_off.attributes["mixdown.turn_id"]
    assert "mixdown-interpreter" in {span.service for span in back}


def test_log_lines_of_every_service_name_the_trace(observed: Observed):
    trace_id = observed.traces["first"]
    for service in ("gateway", "session", "interpreter", "remixer", "separator"):
        lines = [line for line in observed.log_lines(service) if line.get("trace_id") == trace_id]
        assert any(line["event"] == "rpc" for line in lines), service
        known = {span.span_id for span in observed.collector.trace(trace_id)}
        assert {line["span_id"] for line in lines} <= known
