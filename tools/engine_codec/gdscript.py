"""Writes the contract as tables for GDScript of Godot 3, read by `engine_plugins/godot/session/wire.gd`.

GDScript is interpreted, so code for each message would be no faster than one reader that walks a table, and far
longer. Messages are dictionaries with the names of the contract; the tables say which field lies under which tag.
"""

from __future__ import annotations

from tools.engine_codec.schema import Enumeration, Field, Message, Schema, Shape
from tools.engine_codec.text import NOTE

_SHAPES = {Shape.SINGLE: 0, Shape.LIST: 1, Shape.MAP: 2}
_WIDTH = 116


def write_gdscript(schema: Schema) -> str:
    """Return the source file."""
    lines = [
        f"# {NOTE}",
        "#",
        "# FIELDS: message -> rows of [tag, name, kind, shape, type, oneof, has presence], in the order of the wire.",
        "# kind: the number of the type in google.protobuf.FieldDescriptorProto.Type; of the value for a map.",
        "# shape: 0 one value, 1 list, 2 map with text keys. type: name of a message or enumeration. What each field",
        "# means stands in the .proto files.",
        "extends Reference",
        "",
    ]
    for enum in schema.enums:
        lines += _enumeration(enum)
    lines += ["", "const FIELDS = {"]
    for message in schema.messages:
        lines += _message(message)
    lines += ["}"]
    return "\n".join(lines) + "\n"


def _enumeration(enum: Enumeration) -> list[str]:
    members = ", ".join(f"{value.name} = {value.number}" for value in enum.values)
    line = f"enum {enum.name} {{ {members} }}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"enum {enum.name} {{", *(f"\t{value.name} = {value.number}," for value in enum.values), "}"]


def _message(message: Message) -> list[str]:
    if not message.fields:
        return [f'\t"{message.name}": [],']
    return [f'\t"{message.name}": [', *(f"\t\t{_row(field)}," for field in message.fields), "\t],"]


def _row(field: Field) -> str:
    presence = "true" if field.has_presence else "false"
    return (
        f'[{field.tag}, "{field.name}", {field.kind.value}, {_SHAPES[field.shape]},'
        f' "{field.type_name}", "{field.oneof}", {presence}]'
    )
