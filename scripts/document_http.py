"""Writes docs/openapi.json: the calls that can be made with JSON, from the gateway's contract.

Paths and bodies are the `google.api.http` rules, texts the comments. `make docs` runs it; a test
fails where the page is not what this writes.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from scripts.build_stubs import ROOT, describe

PAGE = ROOT / "docs" / "openapi.json"

Json = dict[str, Any]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final[Mapping[int, Json]] = {
    _Field.TYPE_STRING: {"type": "string"},
    _Field.TYPE_BYTES: {"type": "string", "format": "byte"},
    _Field.TYPE_BOOL: {"type": "boolean"},
    _Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    _Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    _Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    _Field.TYPE_UINT32: {"type": "integer", "format": "int64"},
    # JSON's numbers are doubles: 64 bits travel as text.
    _Field.TYPE_INT64: {"type": "string", "format": "int64"},
    _Field.TYPE_UINT64: {"type": "string", "format": "uint64"},
}
_WELL_KNOWN: Final[Mapping[str, Json]] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "example": "1.5s"},
    ".google.protobuf.FieldMask": {"type": "string", "example": "displayName"},
    ".google.protobuf.Empty": {"type": "object"},
    ".google.protobuf.Struct": {"type": "object"},
    ".google.api.HttpBody": {"type": "string", "format": "binary"},
}
_BODY: Final = ".google.api.HttpBody"
_COMMENT_OF_SERVICE, _COMMENT_OF_METHOD = 6, 2
_COMMENT_OF_MESSAGE, _COMMENT_OF_FIELD, _COMMENT_OF_NESTED = 4, 2, 3


class _Contract:
    """Messages, enums and comments of the files, by full name."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self.enums: dict[str, descriptor_pb2.EnumDescriptorProto] = {}
        self.comments: dict[str, str] = {}
        for file in files.file:
            comments = {
                tuple(place.path): _text(place.leading_comments)
                for place in file.source_code_info.location
            }
            scope = f".{file.package}"
            self.enums |= {f"{scope}.{enum.name}": enum for enum in file.enum_type}
            for number, message in enumerate(file.message_type):
                self._read(message, scope, (_COMMENT_OF_MESSAGE, number), comments)
            for number, service in enumerate(file.service):
                for position, method in enumerate(service.method):
                    path = (_COMMENT_OF_SERVICE, number, _COMMENT_OF_METHOD, position)
                    name = f"{scope}.{service.name}.{method.name}"
                    self.comments[name] = comments.get(path, "")

    def _read(
        self,
        message: descriptor_pb2.DescriptorProto,
        scope: str,
        path: tuple[int, ...],
        comments: Mapping[tuple[int, ...], str],
    ) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        self.comments[name] = comments.get(path, "")
        self.enums |= {f"{name}.{enum.name}": enum for enum in message.enum_type}
        for number, field in enumerate(message.field):
            comment = comments.get((*path, _COMMENT_OF_FIELD, number), "")
            self.comments[f"{name}.{field.name}"] = comment
        for number, nested in enumerate(message.nested_type):
            self._read(nested, name, (*path, _COMMENT_OF_NESTED, number), comments)


class _Schemas:
    """The schemas that calls refer to, each written when it is first named."""

    def __init__(self, contract: _Contract) -> None:
        self._contract = contract
        self.written: dict[str, Json] = {}

    def of(self, type_name: str) -> Json:
        """Returns the schema of a message, or a reference to it."""
        if type_name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[type_name])
        name = type_name.removeprefix(".")
        if name not in self.written:
            self.written[name] = {}  # a message may hold itself
            message = self._contract.messages[type_name]
            self.written[name] = {
                "type": "object",
                "description": self._contract.comments[type_name],
                "properties": {
                    field.json_name: self.of_field(type_name, field) for field in message.field
                },
            }
        return {"$ref": f"#/components/schemas/{name}"}

    def of_field(self, owner: str, field: _Field) -> Json:
        """Returns the schema of a field, with its comment."""
        entry = self._contract.messages.get(field.type_name)
        if entry is not None and entry.options.map_entry:
            value = self._of_one(entry.field[1])
            schema: Json = {"type": "object", "additionalProperties": value}
        elif field.label == _Field.LABEL_REPEATED:
            schema = {"type": "array", "items": self._of_one(field)}
        else:
            schema = self._of_one(field)
        comment = self._contract.comments.get(f"{owner}.{field.name}", "")
        return {**schema, "description": comment} if comment else schema

    def _of_one(self, field: _Field) -> Json:
        if field.type == _Field.TYPE_MESSAGE:
            return self.of(field.type_name)
        if field.type == _Field.TYPE_ENUM:
            enum = self._contract.enums[field.type_name]
            return {"type": "string", "enum": [value.name for value in enum.value]}
        return dict(_SCALARS[field.type])


def document_http() -> Json:
    """Returns the OpenAPI document."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.binpb"
        describe(path, ROOT, "--include_source_info")
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    contract = _Contract(files)
    schemas = _Schemas(contract)
    paths: dict[str, Json] = {}
    for file in files.file:
        for service in file.service:
            for method in service.method:
                http = method.options.Extensions[annotations_pb2.http]
                verb = http.WhichOneof("pattern")
                if verb:
                    name = f".{file.package}.{service.name}.{method.name}"
                    call = _call(contract, schemas, method, contract.comments[name])
                    paths.setdefault(_path(http), {})[verb] = call
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mixdown",
            "version": "v1",
            "description": "Upload a song and talk to it. Made from "
            "`protos/mixdown/gateway/v1/gateway.proto` by `make docs`.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "schemas": {"Error": _ERROR, **dict(sorted(schemas.written.items()))},
        },
    }


_ERROR: Final[Json] = {
    "type": "object",
    "description": "Why a call was refused, a google.rpc.Status.",
    "properties": {
        "code": {"type": "integer", "description": "The gRPC code."},
        "message": {"type": "string", "description": "One sentence for people."},
        "details": {
            "type": "array",
            "description": "First a google.rpc.ErrorInfo with the reason; see errors.md.",
            "items": {"type": "object", "properties": {"@type": {"type": "string"}}},
        },
    },
}


def _call(
    contract: _Contract,
    schemas: _Schemas,
    method: descriptor_pb2.MethodDescriptorProto,
    comment: str,
) -> Json:
    http = method.options.Extensions[annotations_pb2.http]
    path = _path(http)
    request = contract.messages[method.input_type]
    in_path = re.findall(r"{([^}=]+)}", path)
    call: Json = {
        "operationId": method.name,
        "summary": re.split(r"[.:](?:\s|$)", comment, maxsplit=1)[0],
        "description": comment,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in in_path
        ],
        "responses": {
            "200": _answer(schemas, method),
            "default": {
                "description": "What is said when the call is refused.",
                "content": _content({"$ref": "#/components/schemas/Error"}),
            },
        },
    }
    if http.body == "*":
        call["requestBody"] = {"content": _content(schemas.of(method.input_type))}
        return call
    for field in request.field:
        if field.name == http.body:
            media = "application/octet-stream" if field.type_name == _BODY else "application/json"
            call["requestBody"] = {"content": _content(schemas.of(field.type_name), media)}
        elif field.name not in in_path:
            schema = schemas.of_field(method.input_type, field)
            call["parameters"].append({"name": field.json_name, "in": "query", "schema": schema})
    return call


def _path(http: http_pb2.HttpRule) -> str:
    # `{session.session_id}` is `{session_id}` to whoever calls, and the same path.
    template: str = getattr(http, http.WhichOneof("pattern"))
    return re.sub(r"{[^}]*\.([^}.]+)}", r"{\1}", template)


def _answer(schemas: _Schemas, method: descriptor_pb2.MethodDescriptorProto) -> Json:
    schema = schemas.of(method.output_type)
    if method.output_type == _BODY:
        return {"description": "The bytes.", "content": _content(schema, "*/*")}
    if method.server_streaming:
        told = "A stream: one JSON object a line."
        return {"description": told, "content": _content(schema, "application/json")}
    return {"description": "The answer.", "content": _content(schema)}


def _content(schema: Json, media: str = "application/json") -> Json:
    return {media: {"schema": schema}}


def _text(comment: str) -> str:
    paragraphs = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def as_text() -> str:
    """Returns the page."""
    return json.dumps(document_http(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(as_text(), encoding="utf-8")
