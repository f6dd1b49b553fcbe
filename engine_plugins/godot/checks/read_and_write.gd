# Reads messages from a file, one "MessageName hex" a line, and writes what the codec made of each as a line of JSON:
# {"values": ..., "hex": ...} or {"error": ...}. Numbers with a point are written as the hexadecimal of their eight
# bytes, so that nothing is lost on the way. Run by tests/contract/test_godot_codec.py:
#   godot3-server --path engine_plugins/godot -s checks/read_and_write.gd --in=FILE --out=FILE
extends SceneTree

const Wire = preload("res://session/wire.gd")


func _init():
	var paths = {}
	for word in OS.get_cmdline_args():
		if word.begins_with("--in=") or word.begins_with("--out="):
			paths[word.split("=")[0]] = word.split("=", true, 1)[1]
	var from = File.new()
	var to = File.new()
	if from.open(paths["--in"], File.READ) != OK or to.open(paths["--out"], File.WRITE) != OK:
		quit(1)
		return
	var wire = Wire.new()
	while not from.eof_reached():
		var words = from.get_line().split(" ")
		if words[0] == "":
			continue
		var values = wire.decode(words[0], _bytes(words[1] if words.size() > 1 else ""))
		if values == null:
			to.store_line(JSON.print({"error": wire.error}))
		else:
			to.store_line(JSON.print({"values": _plain(values), "hex": _hex(wire.encode(words[0], values))}))
	to.close()
	quit()


static func _bytes(hex):
	var bytes = PoolByteArray()
	for i in range(0, hex.length(), 2):
		bytes.append(("0x" + hex.substr(i, 2)).hex_to_int())
	return bytes


static func _hex(bytes):
	return bytes.hex_encode()


static func _plain(value):
	match typeof(value):
		TYPE_DICTIONARY:
			var pairs = []
			for key in value:
				pairs.append([key, _plain(value[key])])
			pairs.sort_custom(Pairs, "before")
			return pairs
		TYPE_ARRAY, TYPE_REAL_ARRAY:
			var items = []
			for item in value:
				items.append(_plain(item))
			return items
		TYPE_INT_ARRAY:
			var numbers = []
			for item in value:
				numbers.append(str(item & 0xffffffff))
			return numbers
		TYPE_REAL:
			var buffer = StreamPeerBuffer.new()
			buffer.put_double(value)
			return "f" + _hex(buffer.data_array)
		TYPE_RAW_ARRAY:
			return "b" + _hex(value)
		TYPE_STRING:
			return "t" + value
		TYPE_BOOL:
			return value
		_:
			return str(value)


class Pairs:
	static func before(a, b):
		return a[0] < b[0]
