# The scene's answers to commands: the same id is answered again and never obeyed twice, also after a restart.
#
# With a path, each answer is a line of hexadecimal, written and closed before it is said. Godot 3 cannot force a
# file to the disk: an answer survives the end of the scene, not that of the machine.
extends Reference

const MOST_ANSWERS = 4096

var _wire
var _path = ""
var _answers = {}  # command id -> CommandAck, oldest first


func _init(wire, path):
	_wire = wire
	_path = path
	if path == "":
		return
	var lines = _read()
	if lines > 2 * MOST_ANSWERS:
		_rewrite()


func find(command_id):
	return _answers.get(command_id)


# Returns why the answer could not be written, or "".
func keep(answer):
	_remember(answer)
	if _path == "":
		return ""
	var file = File.new()
	var failed = file.open(_path, File.READ_WRITE if file.file_exists(_path) else File.WRITE)
	if failed:
		return "the record `%s` cannot be written (Godot error %d)" % [_path, failed]
	file.seek_end()
	file.store_string(_line(answer))
	failed = file.get_error()
	file.close()
	return "the record `%s` cannot be written (Godot error %d)" % [_path, failed] if failed else ""


func _remember(answer):
	_answers[answer["command_id"]] = answer
	while _answers.size() > MOST_ANSWERS:
		_answers.erase(_answers.keys()[0])


# A line that was torn when the scene was killed is no answer that anybody heard.
func _read():
	var file = File.new()
	var lines = 0
	if not file.file_exists(_path) or file.open(_path, File.READ) != OK:
		return 0
	while not file.eof_reached():
		var words = file.get_line().split(" ")
		if words.size() != 2 or words[1] != "." or words[0].length() % 2:
			continue
		lines += 1
		var bytes = PoolByteArray()
		for i in range(0, words[0].length(), 2):
			bytes.append(("0x" + words[0].substr(i, 2)).hex_to_int())
		var answer = _wire.decode("CommandAck", bytes)
		if answer != null and answer.has("command_id"):
			_remember(answer)
	file.close()
	return lines


func _rewrite():
	var file = File.new()
	if file.open(_path, File.WRITE) != OK:
		return
	for id in _answers:
		file.store_string(_line(_answers[id]))
	file.close()


# The dot says that the line is whole; a torn one has none, and is ended by the break before the next.
func _line(answer):
	return "\n" + _wire.encode("CommandAck", answer).hex_encode() + " ."
