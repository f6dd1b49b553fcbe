"""YAML that remembers where each value stands, so that an error found later can still name its line.

A stricter YAML than usual: a key that appears twice is an error instead of the last one winning, and anchors, merges
and tags of one's own are refused. Numbers such as ``3.5e9`` are numbers, as in YAML 1.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from twin.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MAX_FILE_BYTES = 4 * 1024 * 1024
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_TAG = "tag:yaml.org,2002:"

Where = tuple[str | int, ...]
"""Keys and indices from the top down."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class YamlFile:
    """A file that was read.

    Attributes:
        lines: Line, from 1, of each key and each item.
    """

    path: Path
    content: dict[str, Any]
    lines: Mapping[Where, int]

    def error(self, where: Sequence[str | int], problem: str) -> ScenarioError:
        """Return the error for the value at `where`; steps that the file does not have are left out."""
        known: Where = ()
        for step in where:
            if (*known, step) in self.lines:
                known = (*known, step)
        if not known:
            return ScenarioError(f"`{self.path}`: {problem}")
        field = ".".join(str(part) for part in known)
        return ScenarioError(f"`{self.path}`, line {self.lines[known]}, field `{field}`: {problem}")


def read_yaml(path: Path) -> YamlFile:
    """Read a file whose top level is `key: value` lines.

    Raises:
        ScenarioError: The file is missing, too large, no YAML of this kind; names file and line.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioError(f"`{path}` is larger than {MAX_FILE_BYTES // 2**20} MiB; that is no scenario file")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ScenarioError(f"the scenario file `{path}` cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ScenarioError(f"the scenario file `{path}` is not UTF-8 text") from exc
    try:
        reader = _Reader(path, text)
        content = reader.content()
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ScenarioError(f"`{path}`{where}: this is not YAML: {getattr(exc, 'problem', None) or exc}") from exc
    except RecursionError as exc:
        raise ScenarioError(f"`{path}` is nested too deeply to be a scenario file") from exc
    if not isinstance(content, dict):
        raise ScenarioError(f"`{path}` must hold `key: value` lines such as `seed: 1`")
    return YamlFile(path=path, content=content, lines=reader.lines)


class _Reader:
    """Turns the nodes of a text into values and notes their lines."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._loader = yaml.SafeLoader(text)
        self._seen: set[int] = set()
        self.lines: dict[Where, int] = {}

    def content(self) -> object:
        """Return the value of the one document in the text, None when it is empty."""
        try:
            node = self._loader.get_single_node()
            return None if node is None else self._value(node, ())
        finally:
            self._loader.dispose()

    def _wrong(self, node: yaml.Node, problem: str) -> ScenarioError:
        return ScenarioError(f"`{self._path}`, line {node.start_mark.line + 1}: {problem}")

    def _value(self, node: yaml.Node, where: Where) -> object:
        if id(node) in self._seen:
            raise self._wrong(node, "an alias (`*name`) is not read here; write the value once more")
        self._seen.add(id(node))
        match node:
            case yaml.MappingNode() if node.tag == f"{_TAG}map":
                return self._mapping(node, where)
            case yaml.SequenceNode() if node.tag == f"{_TAG}seq":
                values: list[object] = []
                for index, item in enumerate(node.value):
                    self.lines[*where, index] = item.start_mark.line + 1
                    values.append(self._value(item, (*where, index)))
                return values
            case yaml.ScalarNode():
                return self._scalar(node)
            case _:
                raise self._wrong(node, f"this is not YAML that a scenario file may hold: tag `{node.tag}`")

    def _mapping(self, node: yaml.MappingNode, where: Where) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                raise self._wrong(key, f"a key is a name, not `{getattr(key, 'value', 'a list')}`")
            if key.value in values:
                raise self._wrong(key, f"the key `{key.value}` stands here for the second time")
            self.lines[*where, key.value] = key.start_mark.line + 1
            values[key.value] = self._value(item, (*where, key.value))
        return values

    def _scalar(self, node: yaml.ScalarNode) -> object:
        if node.style is None and node.tag == f"{_TAG}str" and _EXPONENT.fullmatch(node.value):
            return float(node.value)
        try:
            return self._loader.construct_object(node)
        except yaml.constructor.ConstructorError as exc:
            raise self._wrong(node, f"this is not YAML that a scenario file may hold: tag `{node.tag}`") from exc
        except (ValueError, KeyError, AttributeError, OverflowError) as exc:
            # What PyYAML raises on `!!int x`, `!!bool x`, `!!timestamp x`, on 2026-99-99 and on numbers without end.
            raise self._wrong(node, f"`{node.value[:40]}` is no {node.tag.removeprefix(_TAG)}") from exc
