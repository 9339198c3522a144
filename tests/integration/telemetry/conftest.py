"""`mixdown up` that was talked to, with what it told of itself.

It has a small model, a scripted language model, and a collector of traces.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

import mixdown
from mixdown.gateway.v1 import gateway_pb2
from tests.integration.gateway.conftest import noise_wav
from tests.integration.interpreter.chat_server import Answer, ChatServer, chat_server
from tests.integration.telemetry.collector import Collector, running_collector
from tests.patience import PATIENCE_SECONDS
from tests.separator_models import tiny_htdemucs, write_bag

ROOT = Path(__file__).parents[3]

UNCLEAR = "quita la voz, por favor"
"""A prompt that only the language model understands."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Observed:
    """The suite, and what it has told of itself."""

    address: str
    data_folder: Path
    collector: Collector
    chat: ChatServer
    output: list[str] = field(default_factory=list)
    traces: dict[str, str] = field(default_factory=dict)

    def scrape(self) -> dict[str, dict[str, Metric]]:
        """Returns the metrics of every target of Prometheus, by job and name."""
        groups = json.loads((self.data_folder / "prometheus-targets.json").read_text())
        found = {}
        for group in groups:
            address = f"http://{group['targets'][0]}/metrics"
            with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as page:
                families = _families(page.read().decode())
                found[group["labels"]["job"]] = {family.name: family for family in families}
        return found

    def log_lines(self, service: str) -> list[dict[str, Any]]:
        """Returns the lines that a service has logged."""
        lines = []
        for line in self.output:
            name, _, rest = _ANSI.sub("", line).partition("|")
            if name.split()[-1:] == [service] and rest.strip().startswith("{"):
                lines.append(json.loads(rest))
        return lines

    async def talk(self) -> None:
        """Has a conversation in which everything happens once."""
        song = self.data_folder / "song.wav"
        song.write_bytes(noise_wav(3.0))
        words = self.data_folder / "words.wav"
        words.write_text("no music")
        folder = self.data_folder / "files"
        async with mixdown.connect(self.address) as client:
            session = await client.create_session(await client.upload(song))
            await self._converse(client, session.session_id, "first", "vocals 3 dB louder")
            await self._converse(client, session.session_id, "stored", "vocals 2 dB louder")
            await session.ask("what time is it?", folder=folder)
            self.chat.play(
                Answer({"kind": "separation", "why": "", "confidence": 0.9}),
                Answer({"stems": [], "without": ["vocals"], "not_done": []}),
            )
            await self._converse(client, session.session_id, "asked", UNCLEAR)
            await session.ask(UNCLEAR, folder=folder)  # nobody answers: 500
            await self._leave_and_come_back(client, session.session_id)
            with pytest.raises(mixdown.MixdownError):
                await client.upload(words)
            turns = [turn async for turn in session.turns()]
            artifact = next(file for turn in turns for file in turn.artifacts)
            stub = client._link.stub
            request = gateway_pb2.DownloadArtifactRequest(artifact_id=artifact.artifact_id)
            async for _ in stub.DownloadArtifact(request):
                pass

    async def _leave_and_come_back(self, client: Any, session_id: str) -> None:
        """Goes away while a prompt is being understood, and comes back in another trace."""
        stub = client._link.stub
        self.chat.play(
            Answer({"kind": "separation", "why": "", "confidence": 0.9}, delay_seconds=600)
        )
        request = gateway_pb2.ConverseRequest(
            session_id=session_id, prompt=UNCLEAR, request_id=uuid.uuid4().hex
        )
        call = stub.Converse(request, metadata=self._traced("left"))
        turn_id = (await anext(aiter(call))).turn_id
        call.cancel()
        self.chat.play()  # it may have been left before the language model was asked
        watch = gateway_pb2.WatchTurnRequest(turn_id=turn_id)
        call = stub.WatchTurn(watch, metadata=self._traced("came back"))
        last = [event async for event in call][-1]
        assert last.WhichOneof("event") == "completed", last

    def _traced(self, name: str) -> tuple[tuple[str, str], ...]:
        """Returns the metadata of a caller that traces its call."""
        self.traces[name] = uuid.uuid4().hex
        return (("traceparent", f"00-{self.traces[name]}-{'1' * 16}-01"),)

    async def _converse(self, client: Any, session_id: str, name: str, prompt: str) -> None:
        """Says something as a caller that traces its calls."""
        request = gateway_pb2.ConverseRequest(
            session_id=session_id, prompt=prompt, request_id=uuid.uuid4().hex
        )
        call = client._link.stub.Converse(request, metadata=self._traced(name))
        last = [event async for event in call][-1]
        assert last.WhichOneof("event") == "completed", last


def _families(page: str) -> Iterator[Metric]:
    """Reads a page of metrics, with the names that stand there.

    The parser has every counter end in "_total", as ours do; of Envoy's some do not.
    """
    names = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    for family in text_string_to_metric_families(page):
        if family.type == "counter" and f"{family.name}_total" not in names:
            family.type = "unknown"
            family.samples = [sample._replace(name=family.name) for sample in family.samples]
        yield family


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    data_folder = tmp_path_factory.mktemp("observed")
    write_bag(data_folder / "models", "tiny", {"aaaa": tiny_htdemucs(1)})
    with ExitStack() as stack:
        collector = stack.enter_context(running_collector())
        chat = stack.enter_context(chat_server())
        process = subprocess.Popen(
            [sys.executable, "-m", "services.local", "--port", "0", "--data-folder", data_folder],
            cwd=ROOT,
            env={
                **os.environ,
                "MIXDOWN_OTLP_ENDPOINT": collector.address,
                "OTEL_BSP_SCHEDULE_DELAY": "200",
                "MIXDOWN_LOG_FORMAT": "json",
                "MIXDOWN_DEFAULT_MODEL": "tiny",
                "MIXDOWN_DEVICE": "cpu",
                "MIXDOWN_THREADS": "1",
                "MIXDOWN_MODEL_FOLDER": str(data_folder / "models"),
                "MIXDOWN_CACHE_FOLDER": str(data_folder / "cache"),
                "MIXDOWN_OPENAI_API_KEY": "test",
                "MIXDOWN_OPENAI_BASE_URL": chat.url,
                "MIXDOWN_OPENAI_MODEL": "scripted",
                "MIXDOWN_OPENAI_TIMEOUT_SECONDS": str(PATIENCE_SECONDS),
                "MIXDOWN_CENSUS_SECONDS": "0.2",
                "MIXDOWN_DELETION_GRACE_SECONDS": "0",
                "MIXDOWN_CLEAN_SECONDS": "0.5",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        suite = Observed("", data_folder, collector, chat)
        listening = threading.Event()

        def read() -> None:
            for line in process.stdout or ():
                suite.output.append(line.rstrip("\n"))
                if found := re.match(r"Mixdown listens on (\S+)\.", line):
                    suite.address = found[1]
                    listening.set()
            listening.set()  # for good, or never

        reader = threading.Thread(target=read)
        reader.start()
        try:
            listening.wait(120)
            assert suite.address, "\n".join(suite.output)
            asyncio.run(suite.talk())
            yield suite
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(2 * PATIENCE_SECONDS)
            reader.join()
