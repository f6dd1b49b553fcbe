"""The wire contract as a small model that knows no language: messages, fields, enumerations.

Read from the descriptors of the generated Python, so a codec can never disagree with what Python speaks. The prose
of every field comes from the `.proto` files, because generated Python carries none. Only what the contract uses is
modelled; anything else (groups, extensions, `sint32` ...) is refused with its name, so that whoever uses it first
extends the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor

from bridge.v1 import bridge_pb2
from tools.engine_codec.prose import read_prose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor


class Kind(Enum):
    """What one value is."""

    DOUBLE = FieldDescriptor.TYPE_DOUBLE
    FLOAT = FieldDescriptor.TYPE_FLOAT
    UINT32 = FieldDescriptor.TYPE_UINT32
    UINT64 = FieldDescriptor.TYPE_UINT64
    FIXED32 = FieldDescriptor.TYPE_FIXED32
    FIXED64 = FieldDescriptor.TYPE_FIXED64
    BOOL = FieldDescriptor.TYPE_BOOL
    STRING = FieldDescriptor.TYPE_STRING
    BYTES = FieldDescriptor.TYPE_BYTES
    ENUM = FieldDescriptor.TYPE_ENUM
    MESSAGE = FieldDescriptor.TYPE_MESSAGE

    @property
    def wire_type(self) -> int:
        """Return how one value of this kind lies on the wire: 0 varint, 1 eight bytes, 2 with length, 5 four bytes."""
        match self:
            case Kind.UINT32 | Kind.UINT64 | Kind.BOOL | Kind.ENUM:
                return 0
            case Kind.DOUBLE | Kind.FIXED64:
                return 1
            case Kind.STRING | Kind.BYTES | Kind.MESSAGE:
                return 2
            case Kind.FLOAT | Kind.FIXED32:
                return 5

    @property
    def packable(self) -> bool:
        """Return whether a list of these is one run of bytes."""
        return self.wire_type != 2


LISTED = frozenset({Kind.FLOAT, Kind.FIXED32, Kind.ENUM, Kind.STRING, Kind.MESSAGE})
"""Kinds of which the contract has lists; the codecs know no other."""


class Shape(Enum):
    """How many values a field holds."""

    SINGLE = "single"
    LIST = "list"
    MAP = "map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message.

    Attributes:
        name: As in the contract, in snake_case.
        number: Field number.
        kind: Kind of the value; of the map's value for a map.
        shape: One value, a list, or a map.
        type_name: Name of the message or enumeration; empty for other kinds.
        oneof: Name of the oneof that it belongs to; empty for none.
        key_kind: Kind of the map's key; None for other shapes.
        prose: What the contract says about it, one line.
    """

    name: str
    number: int
    kind: Kind
    shape: Shape
    type_name: str
    oneof: str
    key_kind: Kind | None
    prose: str

    @property
    def wire_type(self) -> int:
        """Return the wire type under which this field is written: lists of numbers are written as one run."""
        if self.shape is Shape.MAP or (self.shape is Shape.LIST and self.kind.packable):
            return 2
        return self.kind.wire_type

    @property
    def tag(self) -> int:
        """Return the tag under which this field is written."""
        return self.number << 3 | self.wire_type

    @property
    def has_presence(self) -> bool:
        """Return whether unset differs from the default: single messages and members of a oneof."""
        return self.shape is Shape.SINGLE and (self.kind is Kind.MESSAGE or bool(self.oneof))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; `fields` are in the order of their numbers, which is the order on the wire."""

    name: str
    fields: tuple[Field, ...]
    prose: str

    @property
    def oneofs(self) -> tuple[str, ...]:
        """Return the names of its oneofs, in the order of their first field."""
        return tuple(dict.fromkeys(field.oneof for field in self.fields if field.oneof))

    def members(self, oneof: str) -> tuple[Field, ...]:
        """Return the fields of one oneof."""
        return tuple(field for field in self.fields if field.oneof == oneof)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumValue:
    """One member of an enumeration.

    Attributes:
        full_name: As in the contract, such as `ROLE_SCENE`.
        name: Without the name of the enumeration, such as `SCENE`.
        number: Its number.
        prose: What the contract says about it.
    """

    full_name: str
    name: str
    number: int
    prose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """One enumeration; members in the order of their numbers, 0 first. Unknown numbers travel through unharmed."""

    name: str
    values: tuple[EnumValue, ...]
    prose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The whole contract.

    Attributes:
        package: `bridge.v1`.
        enums: Every enumeration, by name.
        messages: Every message, each after those that it holds, so a language that defines before use can write
            them in this order. Map entries are not among them.
    """

    package: str
    enums: tuple[Enumeration, ...]
    messages: tuple[Message, ...]


def read_schema(proto_root: Path) -> Schema:
    """Return the contract as the generated Python has it, with the prose of the `.proto` files below `proto_root`.

    Raises:
        ValueError: The contract uses something that the model does not know, or messages hold each other in a ring.
    """
    files = _with_dependencies(bridge_pb2.DESCRIPTOR)
    prose: dict[str, str] = {}
    for file in files:
        prose |= read_prose((proto_root / file.name).read_text(encoding="utf-8"))
    enums = [_enumeration(enum, prose) for file in files for enum in file.enum_types_by_name.values()]
    messages = [_message(message, prose) for file in files for message in file.message_types_by_name.values()]
    return Schema(
        package=bridge_pb2.DESCRIPTOR.package,
        enums=tuple(sorted(enums, key=lambda enum: enum.name)),
        messages=_holders_last(messages),
    )


def _with_dependencies(root: FileDescriptor) -> list[FileDescriptor]:
    found: dict[str, FileDescriptor] = {}
    waiting = [root]
    while waiting:
        file = waiting.pop()
        if file.name not in found:
            found[file.name] = file
            waiting += list(file.dependencies)
    return [found[name] for name in sorted(found)]


def _enumeration(enum: EnumDescriptor, prose: Mapping[str, str]) -> Enumeration:
    values = sorted(enum.values, key=lambda value: value.number)
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    if values[0].number != 0 or not prefix.endswith("_"):
        raise ValueError(f"`{enum.full_name}` does not begin with `..._UNSPECIFIED = 0`; buf lint asks for that")
    return Enumeration(
        name=enum.name,
        values=tuple(
            EnumValue(
                full_name=value.name,
                name=value.name.removeprefix(prefix),
                number=value.number,
                prose=prose.get(f"{enum.name}.{value.name}", ""),
            )
            for value in values
        ),
        prose=prose.get(enum.name, ""),
    )


def _message(message: Descriptor, prose: Mapping[str, str]) -> Message:
    nested = [inner for inner in message.nested_types if not inner.GetOptions().map_entry]
    if nested or list(message.enum_types):
        raise ValueError(f"`{message.full_name}` holds nested types; write them beside it, the model has no nesting")
    fields = sorted(message.fields, key=lambda field: field.number)
    return Message(
        name=message.name,
        fields=tuple(_field(field, prose.get(f"{message.name}.{field.name}", "")) for field in fields),
        prose=prose.get(message.name, ""),
    )


def _field(field: FieldDescriptor, prose: str) -> Field:
    key_kind: Kind | None = None
    value = field
    shape = Shape.LIST if field.is_repeated else Shape.SINGLE
    held = field.message_type
    if held is not None and held.GetOptions().map_entry:
        shape = Shape.MAP
        key_kind = _kind(held.fields_by_name["key"])
        value = held.fields_by_name["value"]
        if key_kind is not Kind.STRING:
            raise ValueError(f"`{field.full_name}` is a map with keys that are no strings; extend the model")
    kind = _kind(value)
    oneof = field.containing_oneof
    if kind.packable and shape is Shape.LIST and not field.is_packed:
        raise ValueError(f"`{field.full_name}` is a list of numbers that is not packed; readers expect one run")
    if shape is Shape.LIST and kind not in LISTED:
        raise ValueError(f"`{field.full_name}` is a list of {kind.name}, which no codec writes yet; extend them")
    if field.has_presence and shape is Shape.SINGLE and kind is not Kind.MESSAGE and oneof is None:
        raise ValueError(f"`{field.full_name}` is `optional`; extend the model first")
    named = value.message_type or value.enum_type
    return Field(
        name=field.name,
        number=field.number,
        kind=kind,
        shape=shape,
        type_name=named.name if named is not None else "",
        oneof=oneof.name if oneof is not None else "",
        key_kind=key_kind,
        prose=prose,
    )


def _kind(field: FieldDescriptor) -> Kind:
    try:
        return Kind(field.type)
    except ValueError as exc:
        raise ValueError(f"`{field.full_name}` is of type {field.type}, which the model does not know") from exc


def _holders_last(messages: list[Message]) -> tuple[Message, ...]:
    """Return the messages sorted so that each follows those that it holds."""
    by_name = {message.name: message for message in messages}
    done: dict[str, Message] = {}
    open_names: list[str] = []

    def place(message: Message) -> None:
        if message.name in done:
            return
        if message.name in open_names:
            raise ValueError(f"`{' -> '.join([*open_names, message.name])}` hold each other; the model allows no ring")
        open_names.append(message.name)
        for field in message.fields:
            if field.kind is Kind.MESSAGE:
                place(by_name[field.type_name])
        open_names.pop()
        done[message.name] = message

    for name in sorted(by_name):
        place(by_name[name])
    return tuple(done.values())
