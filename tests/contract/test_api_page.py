"""The page of the calls by example is true, and the pages made from the code are current."""

import ast
import json
import re
import shlex
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from mixdown.gateway.v1 import gateway_pb2
from scripts import document_errors, document_http

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
SERVICE = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]
METHODS = pytest.mark.parametrize("method", list(SERVICE.methods), ids=lambda method: method.name)


def section_of(method) -> str:
    found = re.search(rf"^### {method.name}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/api.md has no section on {method.name}"
    return found[1]


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def commands(section: str, program: str) -> list[list[str]]:
    found = [shlex.split(line) for block in blocks(section, "sh") for line in block.splitlines()]
    # What is piped into `curl` is a call too.
    return [words[words.index(program) :] for words in found if program in words]


def test_the_page_of_errors_is_what_the_code_says():
    page = document_errors.PAGE.read_text(encoding="utf-8")
    assert page == document_errors.document_errors(), "run `make docs`"


def test_the_openapi_page_is_what_the_contract_says():
    page = document_http.PAGE.read_text(encoding="utf-8")
    assert page == document_http.as_text(), "run `make docs`"


def test_every_reference_of_the_openapi_page_leads_somewhere():
    page = document_http.document_http()
    schemas = page["components"]["schemas"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(page))
    assert references
    assert set(references) <= set(schemas)


def test_every_call_with_an_http_rule_is_on_the_openapi_page():
    ruled = {
        method.name
        for method in SERVICE.methods
        if method.GetOptions().Extensions[annotations_pb2.http].WhichOneof("pattern")
    }
    # Those without are for streams of messages that no JSON caller needs.
    assert {method.name for method in SERVICE.methods} - ruled == {
        "UploadTrack",
        "DownloadArtifact",
    }
    paths = document_http.document_http()["paths"]
    calls = [call["operationId"] for path in paths.values() for call in path.values()]
    assert sorted(calls) == sorted(ruled)


@METHODS
def test_every_call_has_an_example_in_python_that_compiles(method):
    (example,) = blocks(section_of(method), "python")
    assert compile(example, method.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@METHODS
def test_every_call_has_an_example_with_grpcurl_that_the_contract_takes(method):
    section = section_of(method)
    if method.client_streaming:
        said = rf"^call {method.name} -d @ <<'JSON'\n(.*?)^JSON$"
        (messages,) = re.findall(said, section, re.MULTILINE | re.DOTALL)
        for line in messages.splitlines():
            json_format.Parse(line, GetMessageClass(method.input_type)())
        return
    (words,) = commands(section, "call")
    assert words[1:3] == [method.name, "-d"]
    json_format.Parse(words[3], GetMessageClass(method.input_type)())


@METHODS
def test_every_call_has_an_example_with_curl_that_the_contract_takes(method):
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    section = section_of(method)
    if verb is None:
        assert "`curl`" in section
        return
    examples = commands(section, "curl")
    assert examples
    template = re.sub(r"\\{.*?\\}", "[a-z-]+", re.escape(getattr(rule, verb)))
    for words in examples:
        (url,) = (word for word in words if word.startswith("$MIXDOWN"))
        path, _, query = url.removeprefix("$MIXDOWN").partition("?")
        assert re.fullmatch(template, path)
        names = {field.json_name for field in method.input_type.fields}
        assert {pair.split("=")[0] for pair in query.split("&") if pair} <= names
        default = "post" if "-d" in words else "put" if "-T" in words else "get"
        said = words[words.index("-X") + 1].lower() if "-X" in words else default
        assert said == verb
        if "-d" in words:
            field = method.input_type.fields_by_name.get(rule.body)
            body = method.input_type if rule.body == "*" else field.message_type
            json_format.Parse(words[words.index("-d") + 1], GetMessageClass(body)())
