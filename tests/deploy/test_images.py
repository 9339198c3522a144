"""The images: what they are made of, and that they are what the manifests and the code say."""

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.document_settings import _settings_of
from tests.deploy.policies.manifests import SERVICES
from tests.deploy.rendering import ROOT

IMAGES = ROOT / "deploy" / "images"
LOCKS = IMAGES / "locks"
BIN = Path(sys.executable).parent
LOCKED = (*SERVICES, "separator-cuda")
FINAL = (*SERVICES, "separator-cuda", "separator-baked", "separator-cuda-baked")
COMPILERS = re.compile(r"\b(apt-get|apk|gcc|g\+\+|build-essential|rustc|make)\b")


@dataclass
class Stage:
    base: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [rest for name, rest in self.lines if name == word]


def stages() -> dict[str, Stage]:
    text = re.sub(r"^\s*#.*\n", "", (IMAGES / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    current = Stage("")
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = found[name] = Stage(base)
        elif word:
            current.lines.append((word, re.sub(r"\s+", " ", rest)))
    return found


def chain(name: str) -> list[Stage]:
    """Returns a stage and those that it is made from, the nearest first."""
    known = stages()
    result = []
    while name in known:
        result.append(known[name])
        name = known[name].base
    return result


def lock(name: str) -> dict[str, str]:
    text = (LOCKS / f"{name}.txt").read_text()
    return {
        canonicalize_name(package): version.removesuffix("+cpu")
        for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ]+)", text, re.MULTILINE)
    }


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "hadolint", path], capture_output=True, text=True, check=False)


def test_hadolint_has_nothing_to_say():
    done = hadolint(IMAGES / "Dockerfile")
    assert done.returncode == 0, done.stdout


def test_hadolint_sees_a_broken_dockerfile(tmp_path):
    text = (IMAGES / "Dockerfile").read_text()
    (tmp_path / "Dockerfile").write_text(text + "\nFROM python:latest\nRUN apt-get install gcc\n")
    assert "DL3007" in hadolint(tmp_path / "Dockerfile").stdout


@pytest.mark.parametrize("name", FINAL)
def test_an_image_runs_as_a_number_that_is_not_root_and_holds_no_compiler(name):
    users = [user for stage in chain(name) for user in stage.all("USER")]
    assert users == ["65532:65532"]
    for stage in chain(name):
        for run in stage.all("RUN"):
            assert not COMPILERS.search(run), run
            assert "pip" not in run.split()


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_serves_its_service_where_the_setting_and_the_manifest_say(name):
    lines = [line for stage in chain(name) for line in stage.lines]
    port = re.search(r":(\d+)$", _settings_of(name).model_fields["listen"].default or "")
    environment = " ".join(rest for word, rest in lines if word == "ENV")
    exposed = [rest for word, rest in lines if word == "EXPOSE"]
    commands = [rest for word, rest in lines if word == "CMD"]
    assert commands == [f'["python", "-m", "services.{name}"]']
    assert f"MIXDOWN_LISTEN=0.0.0.0:{exposed[0]}" in environment
    if port and port[1] != "0":
        assert exposed == [port[1]]
    base = (ROOT / "deploy/k8s/base" / f"{name}.yaml").read_text()
    assert f"containerPort: {exposed[0]}" in base


@pytest.mark.parametrize("name", FINAL)
def test_an_image_says_what_it_is(name):
    labels = " ".join(rest for stage in chain(name) for rest in stage.all("LABEL"))
    for key in ("title", "description", "version", "revision", "source", "licenses", "base.name"):
        assert f"org.opencontainers.image.{key}=" in labels
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'image.version="{version}"' in labels
    health = [rest for stage in chain(name) for rest in stage.all("HEALTHCHECK")]
    assert len(health) == 1
    assert "services.runtime.probe" in health[0]


def test_the_base_is_pinned_by_whoever_builds():
    text = (IMAGES / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON_IMAGE$", text, re.MULTILINE)  # without a default
    assert {stage.base for stage in stages().values()} - set(stages()) == {
        "${PYTHON_IMAGE}",
        "scratch",
    }
    check = next(run for run in stages()["python"].all("RUN") if "PYTHON_IMAGE" in run)
    for image, status in (("python:3.11", 1), ("python:3.11@sha256:0123", 0)):
        done = subprocess.run(
            ["sh", "-c", check], env={"PYTHON_IMAGE": image}, capture_output=True, check=False
        )
        assert done.returncode == status


def test_the_image_of_the_remixer_says_that_it_is_under_the_gpl():
    assert "GPL-3.0" in " ".join(stages()["remixer"].all("LABEL"))
    assert {name for name in LOCKED if "pedalboard" in lock(name)} == {"remixer"}


@pytest.mark.parametrize("name", [name for name in FINAL if name.startswith("separator")])
def test_weights_are_never_fetched(name):
    environment = " ".join(rest for stage in chain(name) for rest in stage.all("ENV"))
    assert "HF_HUB_OFFLINE=1" in environment
    assert "MIXDOWN_MODEL_FOLDER=/models" in environment
    everything = " ".join(rest for stage in chain(name) for _, rest in stage.lines)
    assert "npm" not in everything
    assert "fetch-weights" not in everything
    copied = [rest for stage in chain(name) for rest in stage.all("COPY")]
    assert any("checked-weights" in rest for rest in copied) == name.endswith("-baked")


@pytest.mark.parametrize("name", LOCKED)
def test_an_environment_is_made_of_its_lock_alone(name):
    stage = stages()[f"{name}-environment"]
    run = " ".join(stage.all("RUN"))
    assert f"--requirement /locks/{name}.txt" in run
    assert "--require-hashes" in run
    assert "--only-binary :all:" in run
    assert f"--from={name}-environment" in " ".join(stages()[name].all("COPY"))


@pytest.mark.parametrize("name", [*LOCKED, "build"])
def test_a_lock_has_a_hash_for_everything(name):
    text = (LOCKS / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE).strip())
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==\S+ \\\n", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_agrees_with_what_is_tested(name):
    """After a change of dependencies: scripts/lock_images.sh, or `make lock`."""
    text = (ROOT / "requirements.lock").read_text()
    tested = {
        canonicalize_name(package): version
        for package, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ \n]+)", text, re.MULTILINE)
    }
    found = lock(name)
    # CUDA's libraries come with PyPI's PyTorch; the tests run with its CPU build.
    only_cuda = {
        package
        for package in found
        if package.startswith(("nvidia-", "cuda-")) or package in {"triton", "setuptools"}
    }
    if name != "separator-cuda":
        assert not {package for package in only_cuda if package.startswith(("nvidia", "cuda"))}
    for package in set(found) - only_cuda:
        assert found[package] == tested.get(package), package


@pytest.mark.parametrize("name", LOCKED)
def test_a_lock_holds_all_that_its_extra_names_and_nothing_of_the_others(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted: set[str] = set()
    waiting = [*project["dependencies"], f"mixdown[{name.removesuffix('-cuda')}]"]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name == "mixdown":
            for extra in requirement.extras:
                waiting += project["optional-dependencies"][extra]
        else:
            wanted.add(canonicalize_name(requirement.name))
    assert wanted <= set(lock(name))
    if not name.startswith("separator"):
        assert "torch" not in lock(name)
    assert "pytest" not in lock(name)


def test_what_builds_the_wheel_is_locked():
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {canonicalize_name(Requirement(text).name) for text in requires} <= set(lock("build"))
    assert lock("build")["grpcio"] == lock("gateway")["grpcio"]


def test_every_target_is_built_by_name():
    bake = json.loads((IMAGES / "docker-bake.json").read_text())
    targets = {name: body for name, body in bake["target"].items() if name != "image"}
    assert set(targets) == set(FINAL)
    for name, body in targets.items():
        assert body["target"] == name
        assert body["tags"] == [f"${{REGISTRY}}/{name}:${{TAG}}"]
    grouped = [name for group in bake["group"].values() for name in group["targets"]]
    assert sorted(grouped) == sorted(FINAL)
    told = set(re.findall(r"\$\{([A-Z_]+)\}", json.dumps(bake["target"])))
    assert told == set(bake["variable"])


def test_the_builder_is_sent_what_it_copies_and_little_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    copied = {
        source
        for stage in stages().values()
        for rest in stage.all("COPY")
        if "--from" not in rest
        for source in rest.split()[:-1]
    }
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(f"{path}/") for path in let_in), source
    for path in let_in:
        assert any(
            path == source or path.startswith(f"{source}/") or source.startswith(path)
            for source in copied
        ), path
