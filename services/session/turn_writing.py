"""What whoever works on a turn stores of it, with its fencing token.

A turn's change of the mix and its proposal take effect with its completion: one that fails or is
cancelled leaves the conversation as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixdown.mix import Mix
from services.session import events, leases, turn_line
from services.session.artifacts import store_artifact
from services.session.database import Transaction
from services.session.errors import InvalidEventError, SessionError
from services.session.mix_history import MixChange
from services.session.mixes import apply_change, load_mixes
from services.session.quotas import UNLIMITED, Quotas, charge_audio, check_bytes
from services.session.resources import NewArtifact, TurnEvent
from services.session.tables import Document, SessionRow, TurnRow


@dataclass(frozen=True)
class Understanding:
    """What a prompt was understood to mean.

    Args:
        intent: The intent; None for a turn without words.
        change: What happens to the mix.
        reply: The answer to the user.
        proposal: What a plain "yes" would carry out.
        targets: Targets that the turn touches or speaks of.
        outputs: Files to render.
        engine: Which engine understood it.
        confidence: How sure it was, 0 to 1.
    """

    intent: Document | None
    change: MixChange
    reply: str
    proposal: Document | None
    targets: tuple[str, ...]
    outputs: tuple[Document, ...]
    engine: str
    confidence: float


@dataclass(frozen=True)
class FinishedOutput:
    """An output that is complete.

    Args:
        artifact: The file.
        details: The rest of the event's message: everything but the artifact.
    """

    artifact: NewArtifact
    details: Document


def record_understanding(
    transaction: Transaction,
    *,
    turn_id: str,
    token: int,
    understanding: Understanding,
    quotas: Quotas = UNLIMITED,
) -> TurnEvent:
    """Stores what a prompt means, and the mix that it leads to; said again, returns what is stored.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        UnknownMixTargetError: the new mix names a target that the session's model does not have.
        MixSettingOutOfRangeError: a setting of the new mix is out of its range.
        AudioQuotaError: it would render more than is left of the user's day.
        StorageQuotaError: there is no room left for files.
    """
    session, turn = leases.require(transaction, turn_id, token)
    if turn.interpret_time is not None:
        return events.get(transaction, turn_id, "interpreted")
    return _understand(transaction, session, turn, understanding, quotas)


def record_at_once(
    transaction: Transaction,
    session: SessionRow,
    turn: TurnRow,
    understanding: Understanding,
    quotas: Quotas,
) -> tuple[TurnEvent, ...]:
    """Stores what a turn means in the transaction that begins it; its session is locked.

    Returns:
        The event; none where it cannot be stored. Then nothing of it is, and whoever works on the
        turn learns the reason from `record_understanding`, as of any other turn.
    """
    try:
        with transaction.rows.begin_nested():
            return (_understand(transaction, session, turn, understanding, quotas),)
    except SessionError:
        return ()


def _understand(
    transaction: Transaction,
    session: SessionRow,
    turn: TurnRow,
    understanding: Understanding,
    quotas: Quotas,
) -> TurnEvent:
    line = apply_change(transaction, session, understanding.change)
    turn.interpret_time = transaction.now
    turn.intent = understanding.intent
    turn.reply = understanding.reply
    turn.mix_id, turn.redo_tip_mix_id = line.current, line.tip
    turn.proposal = understanding.proposal
    turn.targets = list(understanding.targets)
    turn.outputs = list(understanding.outputs)
    if turn.outputs:
        check_bytes(transaction, session.user_id, quotas, room_bytes=1)
        charge_audio(transaction, session, quotas, turn)
    mix = load_mixes(transaction, [line.current])[line.current]
    payload = _interpreted_payload(understanding, mix)
    return events.append(transaction, turn.turn_id, "interpreted", payload)


def record_output_started(
    transaction: Transaction, *, turn_id: str, token: int, output_name: str, payload: Document
) -> TurnEvent:
    """Stores that an output begins; said again for the same output, returns what is stored.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        InvalidEventError: the output has no name.
    """
    leases.require(transaction, turn_id, token)
    _check_output_name(output_name)
    stored = events.find(transaction, turn_id, "output_started", output_name)
    return stored or events.append(transaction, turn_id, "output_started", payload, output_name)


def record_output_finished(
    transaction: Transaction,
    *,
    turn_id: str,
    token: int,
    output: FinishedOutput,
    blob_checked: bool = False,
    quotas: Quotas = UNLIMITED,
) -> TurnEvent:
    """Stores an artifact and that it is complete; said again, returns what is stored.

    Args:
        transaction: The transaction.
        turn_id: The turn.
        token: The fencing token.
        output: The file.
        blob_checked: Whether the caller has seen the blob in the store since it was refused.
        quotas: What one user may use.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        InvalidEventError: the output has no name.
        BlobLeavingError: the blob is being deleted right now.
        BlobGoneError: the blob was deleted lately, and is not `blob_checked`.
        StorageQuotaError: the file is larger than what is left to the user.
    """
    session, _ = leases.require(transaction, turn_id, token)
    return _finish_output(transaction, session, turn_id, output, quotas, blob_checked=blob_checked)


def complete_turn(
    transaction: Transaction,
    *,
    turn_id: str,
    token: int,
    outputs: tuple[FinishedOutput, ...] = (),
    notes: tuple[str, ...],
    blobs_checked: bool = False,
    quotas: Quotas = UNLIMITED,
) -> tuple[TurnEvent, ...]:
    """Ends a turn that is done, with the outputs that finished last.

    The turn's mix and proposal become the session's. Said again by the same lease, returns what is
    stored: `output_finished` of each output, and `completed`.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
        InvalidEventError: the turn was not understood yet, or an output has no name.
        BlobLeavingError: as in `record_output_finished`, of any output.
        BlobGoneError: as there.
        StorageQuotaError: as there.
    """
    session, turn = leases.lock_turn(transaction, turn_id)
    if turn.lease_token == token and turn.state == "completed":
        # A caller that lost the answer asks again; its own success is no lost lease.
        names = [output.artifact.name for output in outputs]
        stored = (events.find(transaction, turn_id, "output_finished", name) for name in names)
        end = events.get(transaction, turn_id, "completed")
        return (*(event for event in stored if event is not None), end)
    leases.check(turn, token)
    if turn.interpret_time is None:
        raise InvalidEventError("A turn cannot be completed before it is interpreted.")
    finished = [
        _finish_output(transaction, session, turn_id, output, quotas, blob_checked=blobs_checked)
        for output in outputs
    ]
    session.mix_id, session.redo_tip_mix_id = turn.mix_id, turn.redo_tip_mix_id
    session.proposal = turn.proposal
    seconds = max(0.0, (transaction.now - turn.create_time).total_seconds())
    payload = {"duration": f"{seconds:.6f}s", "notes": list(notes)}
    return (*finished, turn_line.end(transaction, turn, "completed", payload))


def fail_turn(transaction: Transaction, *, turn_id: str, token: int, error: Document) -> TurnEvent:
    """Ends a turn with an error; said again by the same lease, returns what is stored.

    Raises:
        TurnNotFoundError: there is no such turn.
        LeaseLostError: the caller does not hold the turn.
    """
    _, turn = leases.lock_turn(transaction, turn_id)
    if turn.lease_token == token and turn.state == "failed":
        return events.get(transaction, turn_id, "failed")
    leases.check(turn, token)
    return turn_line.end(transaction, turn, "failed", {"error": error}, error)


def _finish_output(
    transaction: Transaction,
    session: SessionRow,
    turn_id: str,
    output: FinishedOutput,
    quotas: Quotas,
    *,
    blob_checked: bool,
) -> TurnEvent:
    artifact = output.artifact
    _check_output_name(artifact.name)
    if stored := events.find(transaction, turn_id, "output_finished", artifact.name):
        return stored
    document = store_artifact(transaction, turn_id, artifact, blob_checked=blob_checked)
    check_bytes(transaction, session.user_id, quotas)
    payload = {**output.details, "artifact": document}
    return events.append(transaction, turn_id, "output_finished", payload, artifact.name)


def _check_output_name(name: str) -> None:
    if not name:
        raise InvalidEventError("An output must have a name.")


def _interpreted_payload(understanding: Understanding, mix: Mix) -> Document:
    payload: Document = {
        "reply": understanding.reply,
        "mix": mix.to_dict(),
        "outputs": list(understanding.outputs),
        "engine": understanding.engine,
        "confidence": understanding.confidence,
    }
    if understanding.intent is not None:
        payload["intent"] = understanding.intent
    if understanding.proposal is not None:
        payload["proposal"] = understanding.proposal
    return payload
