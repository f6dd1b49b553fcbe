# Bytes of bridge.v1 to dictionaries and back, without a protobuf library.
#
#   var wire = Wire.new()
#   var bytes = wire.encode("ConnectRequest", {"hello": {"scene_id": "main"}})
#   var response = wire.decode("ConnectResponse", bytes)   # null: see `wire.error`
#
# A message is a Dictionary with the names of the contract; what is absent has its default, also when it is encoded.
# Lists of `float` are PoolRealArray and lists of `fixed32` PoolIntArray: they travel as one block of memory. Limits of
# Godot 3: unsigned 64-bit numbers from 2^63 and list items from 2^31 appear negative (and go out again unharmed), and
# a text ends at its first NUL.
extends Reference

const Contract = preload("bridge_v1.gd")

const TAG = 0
const NAME = 1
const KIND = 2
const SHAPE = 3
const TYPE = 4
const ONEOF = 5
const PRESENCE = 6
const SIBLINGS = 7

const DOUBLE = 1
const FLOAT = 2
const UINT64 = 4
const FIXED64 = 6
const FIXED32 = 7
const BOOL = 8
const STRING = 9
const MESSAGE = 11
const BYTES = 12
const UINT32 = 13
const ENUM = 14

const LIST = 1
const MAP = 2

const WIRE_TYPES = {
	DOUBLE: 1, FLOAT: 5, UINT64: 0, FIXED64: 1, FIXED32: 5, BOOL: 0, STRING: 2, MESSAGE: 2, BYTES: 2, UINT32: 0, ENUM: 0,
}

# Why the last decode returned null.
var error = ""

var _by_number = {}  # message -> field number -> row
var _reader = StreamPeerBuffer.new()


func _init():
	for message in Contract.FIELDS:
		var rows = {}
		for field in Contract.FIELDS[message]:
			var siblings = []
			for other in Contract.FIELDS[message]:
				if field[ONEOF] != "" and other[ONEOF] == field[ONEOF] and other[NAME] != field[NAME]:
					siblings.append(other[NAME])
			rows[field[TAG] >> 3] = field + [siblings]
		_by_number[message] = rows


# Writing.


func encode(message, values):
	var writer = StreamPeerBuffer.new()
	for field in Contract.FIELDS[message]:
		if values.has(field[NAME]):
			_write_field(writer, field, values[field[NAME]])
	return writer.data_array


func _write_field(writer, field, value):
	var kind = field[KIND]
	if field[SHAPE] == MAP:
		var keys = value.keys()
		keys.sort()
		for key in keys:
			var entry = StreamPeerBuffer.new()
			_write_value(entry, 1 << 3 | 2, STRING, "", key)
			_write_value(entry, 2 << 3 | WIRE_TYPES[kind], kind, field[TYPE], value[key])
			_varint(writer, field[TAG])
			_run(writer, entry.data_array)
	elif field[SHAPE] == LIST:
		if value.size() == 0:
			return
		if kind == STRING or kind == MESSAGE:
			for item in value:
				_write_value(writer, field[TAG], kind, field[TYPE], item)
			return
		_varint(writer, field[TAG])
		if kind == FLOAT:
			_run(writer, _block(PoolRealArray(value)))
		elif kind == FIXED32:
			_run(writer, _block(PoolIntArray(value)))
		else:
			var items = StreamPeerBuffer.new()
			for item in value:
				_varint(items, item)
			_run(writer, items.data_array)
	elif field[PRESENCE] or not _is_default(kind, value):
		_write_value(writer, field[TAG], kind, field[TYPE], value)


func _write_value(writer, tag, kind, type, value):
	_varint(writer, tag)
	if kind == STRING:
		_run(writer, value.to_utf8())
	elif kind == MESSAGE:
		_run(writer, encode(type, value))
	elif kind == BYTES:
		_run(writer, value)
	elif kind == FLOAT:
		writer.put_float(value)
	elif kind == DOUBLE:
		writer.put_double(value)
	elif kind == FIXED32:
		writer.put_u32(value)
	elif kind == FIXED64:
		writer.put_64(value)
	elif kind == BOOL:
		writer.put_u8(1 if value else 0)
	else:
		_varint(writer, value)


static func _is_default(kind, value):
	if kind == STRING:
		return value == ""
	if kind == BYTES:
		return value.size() == 0
	if kind == BOOL:
		return not value
	if kind == DOUBLE or kind == FLOAT:
		return value == 0.0 and atan2(value, -1.0) > 0.0  # minus zero is no default
	return value == 0


static func _varint(writer, value):
	while value & ~0x7f:
		writer.put_u8(value & 0x7f | 0x80)
		value = value >> 7 & 0x01ffffffffffffff  # >> keeps the sign
	writer.put_u8(value)


static func _run(writer, bytes):
	_varint(writer, bytes.size())
	if bytes.size():
		writer.put_data(bytes)


# The items of a pool as they lie in memory: behind type and count of Godot's own serialization.
static func _block(pool):
	return var2bytes(pool).subarray(8, -1)


# Reading.


func decode(message, bytes):
	error = ""
	_reader.data_array = bytes
	_reader.seek(0)
	var values = {}
	_read_message(message, values, bytes.size())
	return null if error else values


func _read_message(message, values, end):
	var rows = _by_number[message]
	while not error and _reader.get_position() < end:
		var tag = _read_varint(end)
		var number = tag >> 3
		if error:
			return
		if number <= 0 or number > 0x1fffffff:
			error = "a field has the number `%d`" % number
		elif rows.has(number):
			_read_field(rows[number], tag & 7, values, end)
		else:
			_skip(tag & 7, end)


func _read_field(field, wire_type, values, end):
	var kind = field[KIND]
	var name = field[NAME]
	var wanted = WIRE_TYPES[kind]
	if field[SHAPE] == 0:
		if wire_type != wanted:
			_skip(wire_type, end)
			return
		for sibling in field[SIBLINGS]:
			values.erase(sibling)
		if kind == MESSAGE:
			if not values.has(name):
				values[name] = {}
			_read_message(field[TYPE], values[name], _end_of_run(end))
		else:
			values[name] = _read_value(kind, end)
	elif field[SHAPE] == MAP:
		if wire_type == 2:
			_read_entry(field, values, _end_of_run(end))
		else:
			_skip(wire_type, end)
	elif wire_type == 2 and wanted != 2:
		_read_packed(field, values, _end_of_run(end))
	elif wire_type != wanted:
		_skip(wire_type, end)
	elif kind == MESSAGE:
		var item = {}
		_read_message(field[TYPE], item, _end_of_run(end))
		values[name] = values.get(name, [])
		values[name].append(item)
	else:
		var items = values.get(name, _empty_list(kind))
		items.append(_read_value(kind, end))
		values[name] = items


func _read_entry(field, values, end):
	var entry = {"key": ""}
	while not error and _reader.get_position() < end:
		var tag = _read_varint(end)
		if tag == (1 << 3 | 2):
			entry["key"] = _read_value(STRING, end)
		elif tag == (2 << 3 | 2) and field[KIND] == MESSAGE:
			if not entry.has("value"):
				entry["value"] = {}
			_read_message(field[TYPE], entry["value"], _end_of_run(end))
		elif tag == (2 << 3 | WIRE_TYPES[field[KIND]]):
			entry["value"] = _read_value(field[KIND], end)
		elif not error:
			_skip(tag & 7, end)
	if not values.has(field[NAME]):
		values[field[NAME]] = {}
	values[field[NAME]][entry["key"]] = entry.get("value", {} if field[KIND] == MESSAGE else 0)


func _read_packed(field, values, end):
	var name = field[NAME]
	if error:
		return
	if field[KIND] == FLOAT or field[KIND] == FIXED32:
		var count = end - _reader.get_position()
		if count % 4:
			error = "`%s` has %d bytes, no whole number of 4-byte values" % [name, count]
			return
		var items = _pool(20 + (2 if field[KIND] == FLOAT else 1), _take(count))
		if values.has(name):
			var whole = values[name]
			whole.append_array(items)
			items = whole
		values[name] = items
		return
	var list = values.get(name, [])
	while not error and _reader.get_position() < end:
		list.append(_read_value(field[KIND], end))
	values[name] = list


# The reverse of `_block`: 21 is the type of PoolIntArray, 22 of PoolRealArray.
static func _pool(type, bytes):
	var head = StreamPeerBuffer.new()
	head.put_u32(type)
	head.put_u32(bytes.size() / 4)
	return bytes2var(head.data_array + bytes)


static func _empty_list(kind):
	if kind == FLOAT:
		return PoolRealArray()
	return PoolIntArray() if kind == FIXED32 else []


func _read_value(kind, end):
	if kind == STRING:
		return _text(_take(_end_of_run(end) - _reader.get_position()))
	if kind == BYTES:
		return _take(_end_of_run(end) - _reader.get_position())
	if kind == FLOAT:
		return _reader.get_float() if _has(4, end) else 0.0
	if kind == DOUBLE:
		return _reader.get_double() if _has(8, end) else 0.0
	if kind == FIXED32:
		return _reader.get_u32() if _has(4, end) else 0
	if kind == FIXED64:
		return _reader.get_64() if _has(8, end) else 0
	var number = _read_varint(end)
	if kind == BOOL:
		return number != 0
	if kind == UINT32:
		return number & 0xffffffff
	if kind == ENUM:
		number &= 0xffffffff
		return number - 0x100000000 if number & 0x80000000 else number
	return number


# Godot takes a leading byte-order mark for none of the text's business; the contract does not.
static func _text(bytes):
	if bytes.size() >= 3 and bytes[0] == 0xef and bytes[1] == 0xbb and bytes[2] == 0xbf:
		return (PoolByteArray([0x20]) + bytes).get_string_from_utf8().substr(1)
	return bytes.get_string_from_utf8()


func _read_varint(end):
	var value = 0
	for shift in range(0, 70, 7):
		if not _has(1, end):
			return 0
		var byte = _reader.get_u8()
		value |= (byte & 0x7f) << shift
		if byte < 0x80:
			return value
	error = "a number has more than ten bytes"
	return 0


func _end_of_run(end):
	var count = _read_varint(end)
	if count < 0 or not _has(count, end):
		error = error if error else "a run of %d bytes goes beyond the end" % count
		return _reader.get_position()
	return _reader.get_position() + count


func _take(count):
	return _reader.get_data(count)[1] if count > 0 else PoolByteArray()


func _has(count, end):
	if error:
		return false
	if _reader.get_position() + count > end:
		error = "the message ends in the middle of a value"
		return false
	return true


func _skip(wire_type, end):
	if wire_type == 0:
		_read_varint(end)
	elif wire_type == 1 or wire_type == 5:
		var count = 8 if wire_type == 1 else 4
		if _has(count, end):
			_reader.seek(_reader.get_position() + count)
	elif wire_type == 2:
		_reader.seek(_end_of_run(end))
	else:
		error = "wire type %d" % wire_type
