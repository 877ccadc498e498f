"""The generated parts of pages: promises from markers on tests, the map from first lines of docstrings.

    @pytest.mark.promise("Encoded files", "Weights that overflow show defined colors.")
    def test_...

`python -m tests.house.pages` writes the promises into docs/trust.md and the map into README.md.
"""

import ast
from pathlib import Path

from tests.house.test_architecture import PACKAGE, RANK

ROOT = PACKAGE.parent
SECTIONS = (
    "Encoded files",
    "Videos that are read",
    "Interruption",
    "Diverging training",
    "Downloads",
    "No code from data",
    "Many at once",
)


def promises() -> list[tuple[str, str, str]]:
    """Section, promise and test of every marker, by file and line."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for marker in getattr(node, "decorator_list", []):
                if isinstance(marker, ast.Call) and ast.unparse(marker.func) == "pytest.mark.promise":
                    section, text = map(ast.literal_eval, marker.args)
                    found.append((section, text, f"{path.relative_to(ROOT).as_posix()}::{node.name}"))
    return found


def trust() -> str:
    """The promises as tables. Raises ValueError for a section that the page does not have."""
    found = promises()
    if unknown := {section for section, _, _ in found} - set(SECTIONS):
        raise ValueError(f"no section of docs/trust.md: {sorted(unknown)}; add it to SECTIONS")
    lines = []
    for section in SECTIONS:
        rows = [f"| {text} | `{test}` |" for where, text, test in found if where == section]
        lines += [f"## {section}", "", "| promise | proven by |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def rooms() -> list[str]:
    """The modules of the root and the folders, in the order of the ranks: 'config', ..., 'video/'."""
    files = {path.stem: path.stem for path in PACKAGE.glob("*.py") if path.stem[:2] != "__"}
    folders = {path.parent.name: f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    order = [*(files | folders)]
    return [(files | folders)[name] for name in sorted(order, key=lambda name: (RANK.get(name, 99), name))]


def house() -> str:
    """The map of the package: each room with the first line of its docstring."""
    lines = ["| in `coordflow_mini` | what |", "|---|---|"]
    for room in rooms():
        path = PACKAGE / (f"{room}__init__.py" if room.endswith("/") else f"{room}.py")
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        inside = sorted({p.stem for p in path.parent.iterdir() if p.suffix == ".py" or p.is_dir()})
        names = " ".join(f"`{name}`" for name in inside if name[0] != "_" and room.endswith("/"))
        lines.append(f"| `{room}` | {doc.partition(chr(10))[0]}{f' {names}' if names else ''} |")
    return "\n".join(lines) + "\n"


PAGES = {
    ROOT / "docs" / "trust.md": trust,
    ROOT / "README.md": house,
}
START, END = "<!-- written by python -m tests.house.pages -->", "<!-- end -->"


def page(path: Path) -> str:
    """A page as it should be."""
    before, _, rest = path.read_text(encoding="utf-8").partition(START)
    return f"{before}{START}\n\n{PAGES[path]()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(page(path), encoding="utf-8")
