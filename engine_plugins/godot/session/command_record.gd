# The scene's answers to commands: the same id is answered again and never obeyed twice, also after a restart.
#
# With a path, each answer is a line of hexadecimal, written and closed before it is said. Godot 3 cannot force a
# file to the disk: an answer survives the end of the scene, not that of the machine.
extends Reference

const MOST_ANSWERS = 4096

var _wire
var _path = ""
var _end = -1  # where the last whole line ends; -1: at the end of the file
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


# Returns why the answer could not be written, or ""; it may be tried again.
func keep(answer):
	if _path != "":
		var wrong = _write(_line(answer).to_utf8())
		if wrong != "":
			return wrong
	_remember(answer)
	return ""


# Writes after the last whole line, over what an earlier attempt may have left. Godot 3 tells of no failed write, so
# the line is read again.
func _write(line):
	var file = File.new()
	var there = file.file_exists(_path)
	var failed = file.open(_path, File.READ_WRITE if there else File.WRITE)
	if failed:
		return "the record `%s` cannot be opened for writing (Godot error %d)" % [_path, failed]
	if _end < 0:
		_end = file.get_len()
	file.seek(int(min(_end, file.get_len())))
	_end = file.get_position()
	file.store_buffer(line)
	file.close()
	failed = file.open(_path, File.READ)
	if failed:
		return "the record `%s` cannot be read again (Godot error %d)" % [_path, failed]
	file.seek(_end)
	var written = file.get_buffer(line.size())
	file.close()
	if written != line:
		return "of %d bytes the record `%s` took %d; is the disk full?" % [line.size(), _path, written.size()]
	_end += line.size()
	return ""


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


# Leaves out what was forgotten. The old file stays until the new one is whole.
func _rewrite():
	var part = _path + ".part"
	var file = File.new()
	if file.open(part, File.WRITE) != OK:
		return
	var size = 0
	for id in _answers:
		var line = _line(_answers[id]).to_utf8()
		file.store_buffer(line)
		size += line.size()
	file.close()
	if file.open(part, File.READ) != OK:
		return
	var written = file.get_len()
	file.close()
	if written == size:
		Directory.new().rename(part, _path)


# The dot says that the line is whole; a torn one has none, and is ended by the break before the next.
func _line(answer):
	return "\n" + _wire.encode("CommandAck", answer).hex_encode() + " ."
