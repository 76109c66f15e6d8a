"""Reads `/opt/ml/model` in a script as the model's folder, which lies elsewhere here; many scripts have it spelled out.

Text that is this folder or begins with it is replaced while the modules of the script's folder are imported:
"/opt/ml/model/code/serve.pkl", in f-strings too, but no folder that is put together from other parts.
"""

import ast
import sys
from collections.abc import Callable
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import CodeType

AWS_MODEL_DIR = "/opt/ml/model"


def replace_below(folder: Path, model_dir: Path) -> None:
    """Have modules that lie below a folder read the model's folder where they spell that of AWS."""
    sys.path_hooks.insert(0, _hook(folder.resolve(), str(model_dir)))
    sys.path_importer_cache.clear()


def _hook(folder: Path, model_dir: str) -> Callable[[str], FileFinder]:
    def source(name: str, path: str) -> SourceFileLoader:
        return _Loader(name, path, model_dir)

    def finder(path: str) -> FileFinder:
        if not Path(path).resolve().is_relative_to(folder):
            raise ImportError  # somebody else's path: the next hook is asked
        extensions, bytecode = (ExtensionFileLoader, EXTENSION_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)
        return FileFinder(path, extensions, (source, SOURCE_SUFFIXES), bytecode)

    return finder


class _Loader(SourceFileLoader):
    """Compiles a module after the replacement; compiled files that came with it are not used."""

    def __init__(self, name: str, path: str, model_dir: str) -> None:
        super().__init__(name, path)
        self._model_dir = model_dir

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return compile(_Literals(self._model_dir).visit(ast.parse(self.get_data(path), path)), path, "exec")


class _Literals(ast.NodeTransformer):
    def __init__(self, model_dir: str) -> None:
        self._model_dir = model_dir

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        value = node.value
        if not isinstance(value, str) or not (value == AWS_MODEL_DIR or value.startswith(f"{AWS_MODEL_DIR}/")):
            return node
        return ast.copy_location(ast.Constant(self._model_dir + value[len(AWS_MODEL_DIR) :]), node)
