"""What the pages refer to is there: files, headings, commands of make, modules to run."""

import importlib.util
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(
    {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    - {"out"}
)


def pages() -> list[Path]:
    """Returns the pages that are part of the repository, or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode:  # not a checkout: the archive of one
        return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).exists()]


def anchors_of(page: Path) -> set[str]:
    """Returns the names that links may have behind `#`, as GitHub makes them of headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def broken_links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):  # somewhere else
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            found.append(link)
    return found


def files_named(text: str) -> set[str]:
    """Returns what stands between backticks and looks like a path from the root of ours."""
    paths = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", text)
    return {path for path in paths if "<" not in path}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    missing = {
        name
        for name in files_named(page.read_text(encoding="utf-8"))
        if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()
    }
    assert missing == set()


def test_every_command_of_make_that_a_page_names_is_one() -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        command
        for page in pages()
        for command in re.findall(r"(?:`|^)make ([a-z0-9-]+)", page.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= known


def test_every_module_that_a_page_runs_is_there() -> None:
    named = {
        module
        for page in pages()
        for module in re.findall(
            r"python -m ((?:benchmarks|scripts|services|tests)[\w.]*\w)", page.read_text()
        )
    }
    assert named
    assert [name for name in sorted(named) if importlib.util.find_spec(name) is None] == []


def test_a_link_that_leads_nowhere_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One, two\n[a](#one-two) [b](#three) [c](no.md) [d](https://example.com)\n")
    assert broken_links(page) == ["#three", "no.md"]
