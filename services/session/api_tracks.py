"""Translates uploads, tracks, sessions and artifacts to the contract and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mixdown.audio.v1 import audio_pb2
from mixdown.conversation.v1 import conversation_pb2
from mixdown.mix.protobuf import mix_to_message
from mixdown.mix.v1 import intent_pb2
from mixdown.session.v1 import session_pb2
from services.runtime.blobs import Blob
from services.session.quotas import Quotas
from services.session.resources import Artifact, NewArtifact, Session, Track, Upload, Usage
from services.session.tables import Document

_Message = TypeVar("_Message", bound=Message)


def to_document(message: Message) -> Document:
    """Writes a message as JSON, with the field names of the contract."""
    document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return document


def from_document(document: Document, message: _Message) -> _Message:
    """Reads JSON into `message`. What a newer version has added is left out."""
    return ParseDict(document, message, ignore_unknown_fields=True)


def time_to_message(time: datetime) -> Timestamp:
    """Writes a time."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def blob_from_message(message: audio_pb2.Blob) -> Blob:
    """Reads a blob."""
    return Blob(message.sha256, message.size_bytes)


def blob_to_message(blob: Blob) -> audio_pb2.Blob:
    """Writes a blob."""
    return audio_pb2.Blob(sha256=blob.sha256, size_bytes=blob.size_bytes)


def upload_to_message(upload: Upload) -> session_pb2.Upload:
    """Writes an upload."""
    return session_pb2.Upload(
        upload_id=upload.upload_id,
        staging_key=upload.staging_key,
        display_name=upload.display_name,
        total_size_bytes=upload.total_size_bytes,
        track_id=upload.track_id or "",
        create_time=time_to_message(upload.create_time),
    )


def track_to_message(track: Track) -> conversation_pb2.Track:
    """Writes a track."""
    return conversation_pb2.Track(
        track_id=track.track_id,
        display_name=track.display_name,
        blob=blob_to_message(track.blob),
        audio=from_document(track.audio, audio_pb2.AudioProperties()),
        create_time=time_to_message(track.create_time),
    )


def session_to_message(session: Session) -> conversation_pb2.Session:
    """Writes a session."""
    return conversation_pb2.Session(
        session_id=session.session_id,
        track_id=session.track_id,
        display_name=session.display_name,
        model=session.model,
        stems=session.stems,
        mix=mix_to_message(session.mix),
        proposal=proposal_to_message(session.proposal),
        turn_count=session.turn_count,
        create_time=time_to_message(session.create_time),
        update_time=time_to_message(session.update_time),
    )


def usage_to_message(usage: Usage, quotas: Quotas) -> conversation_pb2.Usage:
    """Writes what a user uses, and what is allowed."""
    return conversation_pb2.Usage(
        turns=usage.turns,
        turn_limit=quotas.turns,
        stored_bytes=usage.stored_bytes,
        storage_limit_bytes=quotas.stored_bytes,
        daily_audio_minutes=usage.daily_minutes,
        daily_audio_limit_minutes=quotas.daily_minutes,
        reset_time=time_to_message(usage.reset_time),
    )


def proposal_to_message(proposal: Document | None) -> intent_pb2.Proposal | None:
    """Writes a proposal; None leaves the field unset."""
    return None if proposal is None else from_document(proposal, intent_pb2.Proposal())


def new_artifact_from_message(message: conversation_pb2.Artifact) -> NewArtifact:
    """Reads an artifact that has no identifier yet."""
    return NewArtifact(
        name=message.name,
        blob=blob_from_message(message.blob),
        media_type=message.media_type,
        file_name=message.file_name,
        clipped_samples=message.clipped_samples,
    )


def artifact_to_message(artifact: Artifact) -> conversation_pb2.Artifact:
    """Writes an artifact."""
    return conversation_pb2.Artifact(
        artifact_id=artifact.artifact_id,
        turn_id=artifact.turn_id,
        name=artifact.name,
        blob=blob_to_message(artifact.blob),
        media_type=artifact.media_type,
        file_name=artifact.file_name,
        clipped_samples=artifact.clipped_samples,
        create_time=time_to_message(artifact.create_time),
    )
