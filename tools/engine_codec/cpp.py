"""Writes the messages as C++17 on top of `engine_plugins/cpp_codec/include/twin6g/wire.hpp`.

Plain structs with values inside: `std::optional` where unset differs from empty, `std::variant` for a oneof. The writer
goes backwards (see `Writer`), so fields are written in descending order.
"""

from __future__ import annotations

from typing import assert_never

from tools.engine_codec.schema import Enumeration, Field, Kind, Message, Schema, Shape
from tools.engine_codec.text import NOTE, camel, wrapped

_KEYWORDS = {"operator", "class", "default", "delete", "new", "register", "template", "union", "export", "signed"}
_TYPES = {
    Kind.DOUBLE: "double",
    Kind.FLOAT: "float",
    Kind.UINT32: "std::uint32_t",
    Kind.UINT64: "std::uint64_t",
    Kind.FIXED32: "std::uint32_t",
    Kind.FIXED64: "std::uint64_t",
    Kind.BOOL: "bool",
    Kind.STRING: "std::string",
    Kind.BYTES: "std::vector<std::uint8_t>",
}


def write_cpp(schema: Schema) -> str:
    """Return the header."""
    lines = [
        f"// {NOTE}",
        "#pragma once",
        "",
        "#include <cstdint>",
        "#include <map>",
        "#include <optional>",
        "#include <string>",
        "#include <utility>",
        "#include <variant>",
        "#include <vector>",
        "",
        '#include "twin6g/wire.hpp"',
        "",
        "namespace twin6g::wire {",
        "",
    ]
    for enum in schema.enums:
        lines += [*_enumeration(enum), ""]
    for message in schema.messages:
        lines += [*_message(message), ""]
    return "\n".join([*lines, "}  // namespace twin6g::wire"]) + "\n"


def _inside(lines: list[str], *, levels: int = 1) -> list[str]:
    return [f"{'  ' * levels}{line}" if line else "" for line in lines]


def _says(prose: str, *, levels: int) -> list[str]:
    return wrapped(prose, prefix="/// ", levels=levels)


def _enumeration(enum: Enumeration) -> list[str]:
    lines = [*_says(enum.prose, levels=0), f"enum class {enum.name} : std::int32_t {{"]
    for value in enum.values:
        lines += _inside([*_says(value.prose, levels=1), f"{camel(value.name)} = {value.number},"])
    return [*lines, "};"]


def _name(field: Field) -> str:
    return f"{field.name}_" if field.name in _KEYWORDS else field.name


def _type(field: Field) -> str:
    """Return the type of one value."""
    return field.type_name or _TYPES[field.kind]


def _message(message: Message) -> list[str]:
    lines: list[str] = []
    for field in message.fields:
        if not field.oneof:
            lines += [*_says(field.prose, levels=1), _member(field)]
    for oneof in message.oneofs:
        lines += _oneof(message, oneof)
    if lines:
        lines.append("")
    lines += [*_merge(message), "", *_write(message)]
    return [*_says(message.prose, levels=0), f"struct {message.name} {{", *_inside(lines), "};"]


def _member(field: Field) -> str:
    match field.shape:
        case Shape.SINGLE if field.kind is Kind.MESSAGE:
            return f"std::optional<{field.type_name}> {_name(field)};"
        case Shape.SINGLE:
            default = "{}" if field.kind is Kind.ENUM else {Kind.BOOL: " = false"}.get(field.kind, " = 0")
            if field.kind in {Kind.STRING, Kind.BYTES}:
                default = ""
            return f"{_type(field)} {_name(field)}{default};"
        case Shape.LIST:
            return f"std::vector<{_type(field)}> {_name(field)};"
        case Shape.MAP:
            return f"std::map<std::string, {_type(field)}> {_name(field)};"
    assert_never(field.shape)


def _oneof(message: Message, oneof: str) -> list[str]:
    """Return the variant of a oneof, the names of its alternatives, and how to reach each."""
    members = message.members(oneof)
    kind = f"{camel(oneof)}Kind"
    types = ", ".join(["std::monostate", *(_type(field) for field in members)])
    names = [f"  {camel(field.name)} = {place}," for place, field in enumerate(members, start=1)]
    lines = [
        "",
        f"/// Alternatives of `{oneof}`, by their place in the variant.",
        f"enum class {kind} {{",
        "  None = 0,",
        *names,
        "};",
        *_says(f"One of the alternatives, or none: see {kind}.", levels=1),
        f"std::variant<{types}> {oneof};",
        f"{kind} {oneof}_kind() const {{ return static_cast<{kind}>({oneof}.index()); }}",
    ]
    for place, field in enumerate(members, start=1):
        held = _type(field)
        lines += [
            *_says(f"{field.prose} Null when another is set.", levels=1),
            f"const {held}* {_name(field)}() const {{ return std::get_if<{place}>(&{oneof}); }}",
            f"{held}& mutable_{field.name}() {{",
            f"  if (auto* present = std::get_if<{place}>(&{oneof})) return *present;",
            f"  return {oneof}.emplace<{place}>();",
            "}",
        ]
    return lines


def _read(field: Field) -> str:
    """Return the expression that reads one value that is no message."""
    if field.kind is Kind.ENUM:
        return f"reader.read_enum<{field.type_name}>()"
    return f"reader.read_{field.kind.name.lower()}()"


def _merge(message: Message) -> list[str]:
    lines = ["void merge_from(Reader& reader) {", "  std::uint32_t tag = 0;", "  while (reader.read_tag(tag)) {"]
    if not message.fields:
        return [*lines, "    reader.skip(tag);", "  }", "}"]
    lines.append("    switch (tag) {")
    for field in message.fields:
        for tag, statement in _cases(field):
            lines += [f"      case {tag}: {statement} break;"]
    return [*lines, "      default: reader.skip(tag);", "    }", "  }", "}"]


def _cases(field: Field) -> list[tuple[int, str]]:
    """Return for each tag under which the field may come what to do with it."""
    name = _name(field)
    match field.shape:
        case Shape.SINGLE if field.oneof and field.kind is Kind.MESSAGE:
            return [(field.tag, f"reader.read_message(mutable_{field.name}());")]
        case Shape.SINGLE if field.oneof:
            return [(field.tag, f"mutable_{field.name}() = {_read(field)};")]
        case Shape.SINGLE if field.kind is Kind.MESSAGE:
            return [(field.tag, f"reader.read_message({name} ? *{name} : {name}.emplace());")]
        case Shape.SINGLE:
            return [(field.tag, f"{name} = {_read(field)};")]
        case Shape.MAP:
            read = "reader.read_message(value);" if field.kind is Kind.MESSAGE else f"value = {_read(field)};"
            value_tag = 2 << 3 | field.kind.wire_type
            entry = f"[&reader]({_type(field)}& value) {{ {read} }}"
            return [(field.tag, f"reader.read_entry({value_tag}, {name}, {entry});")]
        case Shape.LIST if field.kind is Kind.MESSAGE:
            return [(field.tag, f"reader.read_message({name}.emplace_back());")]
        case Shape.LIST if field.kind.packable:
            run = "read_enum_run" if field.kind is Kind.ENUM else "read_run"
            alone = field.number << 3 | field.kind.wire_type
            return [(field.tag, f"reader.{run}({name});"), (alone, f"{name}.push_back({_read(field)});")]
        case Shape.LIST:
            return [(field.tag, f"{name}.push_back({_read(field)});")]
    assert_never(field.shape)


def _write(message: Message) -> list[str]:
    if not message.fields:
        return ["void write_to(Writer&) const {}"]
    lines = ["void write_to(Writer& writer) const {"]
    for field in reversed(message.fields):
        lines += _inside(_put(field))
    return [*lines, "}"]


def _put(field: Field) -> list[str]:
    name = _name(field)
    match field.shape:
        case Shape.SINGLE if field.oneof:
            return [f"if (const auto* present = {name}()) {_put_value(field, field.tag, '*present')};"]
        case Shape.SINGLE if field.kind is Kind.MESSAGE:
            return [f"if ({name}) {_put_value(field, field.tag, f'*{name}')};"]
        case Shape.SINGLE:
            empty = field.kind in {Kind.STRING, Kind.BYTES}
            condition = f"!{name}.empty()" if empty else f"is_set({name})"
            return [f"if ({condition}) {_put_value(field, field.tag, name)};"]
        case Shape.MAP:
            value_tag = 2 << 3 | field.kind.wire_type
            return [
                f"for (auto entry = {name}.rbegin(); entry != {name}.rend(); ++entry) {{",
                "  const std::size_t before = writer.size();",
                f"  {_put_value(field, value_tag, 'entry->second')};",
                "  writer.block(10, entry->first);",
                f"  writer.close({field.tag}, writer.size() - before);",
                "}",
            ]
        case Shape.LIST if field.kind.packable:
            run = "enum_run" if field.kind is Kind.ENUM else "block"
            return [f"if (!{name}.empty()) writer.{run}({field.tag}, {name});"]
        case Shape.LIST:
            put = _put_value(field, field.tag, f"{name}[i - 1]")
            return [f"for (std::size_t i = {name}.size(); i > 0; --i) {put};"]
    assert_never(field.shape)


def _put_value(field: Field, tag: int, value: str) -> str:
    """Return the statement that writes one value."""
    match field.kind:
        case Kind.UINT32 | Kind.UINT64 | Kind.BOOL:
            method = "varint"
        case Kind.ENUM:
            method = "enumeration"
        case Kind.DOUBLE | Kind.FLOAT | Kind.FIXED32 | Kind.FIXED64:
            method = "plain"
        case Kind.STRING | Kind.BYTES:
            method = "block"
        case Kind.MESSAGE:
            method = "message"
    return f"writer.{method}({tag}, {value})"
