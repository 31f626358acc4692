"""Which modules of a package a set of dotted names needs, found by reading imports (nothing is executed)."""

import ast
from collections.abc import Iterable, Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path

__all__ = ["ImportClosure"]


class ImportClosure:
    """The part of a package that given names need.

    A package's ``__init__`` that only re-exports is a table, not a dependency: of it, the names asked for are followed,
    and :meth:`source` gives an ``__init__`` with those names alone. So one network does not bring all the others along.

    Args:
        package: an importable top-level package.
        names: dotted names of its modules, classes and functions.

    Raises:
        ImportError: if a name leads to no module of the package.
    """

    def __init__(self, package: str, names: Iterable[str]) -> None:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ImportError(f"'{package}' is not an importable package")
        self.package = package
        self.folder = Path(next(iter(spec.submodule_search_locations)))
        self.modules: set[str] = set()
        self._exported: dict[str, set[str]] = {}
        queue = list(names)
        done: set[str] = set()
        while queue:
            name = queue.pop()
            if name not in done:
                done.add(name)
                queue += self._needs_of(name)

    def file(self, module: str) -> Path | None:
        """Give the source file of a module or package of this package, None if there is no such module."""
        package, *parts = module.split(".")
        path = self.folder.joinpath(*parts)
        candidates = (path / "__init__.py", path.with_suffix(".py"))
        return next((c for c in candidates if package == self.package and c.is_file()), None)

    def data_files(self) -> list[Path]:
        """List what is no Python but lies in the needed packages, such as templates."""
        folders = {f.parent for f in map(self.file, self.modules) if f is not None and f.name == "__init__.py"}
        found = (f for folder in folders for f in folder.rglob("*") if f.is_file() and f.suffix not in (".py", ".pyc"))
        return sorted({f for f in found if self._package_of(f) in folders})

    def source(self, module: str) -> str:
        """Give the text of a needed module; a re-exporting ``__init__`` is cut down to the needed names."""
        file = self.file(module)
        if file is None:
            raise ImportError(f"'{module}' is not a module of the package '{self.package}'")
        if not self._is_table(module):
            return file.read_text(encoding="utf-8")
        tree = self._tree(module)
        wanted = self._exported.get(module, set())
        lines = [f'"""{ast.get_docstring(tree) or ""}"""', ""]
        for node in tree.body:
            if isinstance(node, ast.ImportFrom):
                kept = [a for a in node.names if (a.asname or a.name) in wanted]
                if kept:
                    lines.append(ast.unparse(ast.ImportFrom(node.module, kept, node.level)))
        return "\n".join([*lines, "", f"__all__ = {sorted(wanted)}", ""])

    def _package_of(self, file: Path) -> Path:
        return next(p for p in file.parents if (p / "__init__.py").is_file())

    def _needs_of(self, name: str) -> list[str]:
        """Take the module that a dotted name lies in into the closure and list the names that follow from it."""
        module, attribute = name, ""
        while self.file(module) is None:
            module, _, attribute = module.rpartition(".")
            if not module:
                raise ImportError(f"'{name}' is not a name of the package '{self.package}'")
        self.modules.add(module)
        imports = list(self._imports(module))
        if self._is_table(module):
            asked = {attribute} if attribute else {bound for bound, _ in imports}
            if not asked <= {bound for bound, _ in imports}:
                raise ImportError(f"'{module}' has no '{attribute}'")
            self._exported.setdefault(module, set()).update(asked)
            imports = [(bound, target) for bound, target in imports if bound in asked]
        followed = [target for _, target in imports if target.split(".")[0] == self.package]
        return followed + self._parents(module)

    def _parents(self, module: str) -> list[str]:
        """Take a module's packages in, and list those whose ``__init__`` does something when imported."""
        parents = [module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)]
        self.modules.update(p for p in parents if self.file(p) is not None)
        return [p for p in parents if self.file(p) is not None and not self._is_table(p)]

    def _tree(self, module: str) -> ast.Module:
        file = self.file(module)
        assert file is not None
        return ast.parse(file.read_text(encoding="utf-8"))

    def _is_table(self, module: str) -> bool:
        """Tell whether a module is an ``__init__`` of nothing but a docstring, imports from modules and ``__all__``."""
        file = self.file(module)
        return file is not None and file.name == "__init__.py" and all(map(_is_reexport, self._tree(module).body))

    def _imports(self, module: str) -> Iterator[tuple[str, str]]:
        """Yield every import in a module, wherever it stands, as (name it binds, absolute dotted name)."""
        file = self.file(module)
        here = module if file is not None and file.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(self._tree(module)):
            if isinstance(node, ast.Import):
                yield from ((a.asname or a.name, a.name) for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = resolve_name("." * node.level + (node.module or ""), here) if node.level else node.module
                yield from ((a.asname or a.name, f"{source}.{a.name}") for a in node.names)


def _is_reexport(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and [t.id for t in node.targets if isinstance(t, ast.Name)] == ["__all__"])
    )
