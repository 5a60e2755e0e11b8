"""Who may import whom: folders depend downwards only, and only on each other's faces (design: the house)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "hwmodels": set(),
    "compiler": {"hwmodels"},
    "simulator": {"compiler", "hwmodels"},
    "training": {"compiler"},
    "gossamer": {"hwmodels", "compiler", "simulator", "training"},
}
FACES = {f"gossamer.{folder}" for folder in MAY_IMPORT} | {
    "gossamer.compiler.exchange",
    "gossamer.training.data",
    "gossamer.training.studies",
}
ONLY_IN = {
    "torch": {"training"},
    "lightning_fabric": {"training"},
    "sklearn": {"training"},
    "PIL": {"training"},
    "numba": {"simulator", "training"},  # docs/decisions/0009
    "llvmlite": {"simulator"},
    "nir": {"compiler"},
    "h5py": {"compiler"},
    "safetensors": {"compiler"},
    "typer": {"gossamer"},
    "rich": {"gossamer"},
    "tomli_w": {"gossamer"},
    "matplotlib": {"gossamer"},
    "jinja2": {"gossamer"},
}
FILES = [file for folder in MAY_IMPORT for file in sorted((ROOT / folder).rglob("*.py"))]


def imported_modules(file):
    """Absolute names of what a file imports."""
    folder = file.relative_to(ROOT).parts[0]
    package = ["gossamer", *([] if folder == "gossamer" else [folder]), *file.relative_to(ROOT / folder).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            if name == "gossamer" and folder != "gossamer":
                yield from (f"gossamer.{alias.name}" for alias in node.names)
            elif node.level and not node.module:
                yield from (f"{name}.{alias.name}" for alias in node.names)
            else:
                yield name


def owner(module):
    """The folder that a module of ours lives in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "gossamer"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_downwards_and_to_faces(file):
    folder = file.relative_to(ROOT).parts[0]
    for module in imported_modules(file):
        top = module.split(".")[0]
        assert top not in MAY_IMPORT or top == "gossamer", f"{module} is imported by its folder's name"
        assert folder in ONLY_IN.get(top, {folder}), f"{top} belongs to {ONLY_IN.get(top)}"
        if top == "gossamer" and owner(module) != folder:
            assert owner(module) in MAY_IMPORT[folder], f"{folder} may not import {module}"
            assert module in FACES, f"{module} is not a face: import from the folder"


def test_the_layering_test_sees_the_files():
    assert len(FILES) > 40
    assert "gossamer.compiler" in set(imported_modules(ROOT / "simulator" / "engine.py"))
    assert "numba" in set(imported_modules(ROOT / "simulator" / "kernels" / "scatter.py"))
