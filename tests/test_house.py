"""What keeps the tree honest: light import, a page for every error code, documents whose code runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = [
    f for folder in ("hwmodels", "compiler", "simulator", "training", "gossamer") for f in (ROOT / folder).rglob("*.py")
]
PAGES = ROOT / "docs" / "reference" / "errors"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(document):
    return str(document.relative_to(ROOT))


def test_importing_gossamer_is_light():
    code = "import sys, gossamer; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "scipy", "numba", "torch", "typer", "rich", "pydantic"):
        assert f"'{heavy}'" not in loaded


def test_every_error_code_has_a_page_and_every_page_a_code():
    raised = {code for file in SOURCES for code in re.findall(r'"(GSM-\d{3})"', file.read_text())}
    pages = {page.stem for page in PAGES.glob("GSM-*.md")}
    assert raised - pages == set(), "codes without a page"
    assert pages - raised == set(), "pages without a code"
    assert len(raised) > 25


def blocks(document):
    """(language, text) of the fenced blocks of a document."""
    return re.findall(r"^```(\w+)\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "document", [d for d in DOCUMENTS if any(lang in ("python", "bash") for lang, _ in blocks(d))], ids=name
)
def test_the_code_blocks_of_a_document_run_in_order(document, tmp_path):
    """```python and ```bash blocks run in one folder; a block that begins with `# file: NAME` is that file."""
    pending = ""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for language, text in [*blocks(document), ("end", "")]:
        named = re.match(r"# file: (\S+)\n", text)
        if named:
            (tmp_path / named[1]).write_text(text)
        elif language == "python":
            pending += text
        elif language in ("bash", "end"):
            for command in ([sys.executable, "-W", "error", "-c", pending], ["bash", "-euo", "pipefail", "-c", text]):
                if command[-1]:
                    done = subprocess.run(
                        command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PATH": path}
                    )
                    assert done.returncode == 0, f"{command[-1]}\n{done.stderr[-2000:]}"
            pending = ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_between_documents_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target
