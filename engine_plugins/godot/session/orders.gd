# Commands of the twin: each id is obeyed once, in the order in which they came, and answered as often as it comes.
#
# When the record does not take an answer, the effect took place already: FAILED would be a lie, and APPLIED a promise
# that the end of the scene breaks. So nothing final is said and nothing further obeyed until the disk takes it.
extends Reference

const Bridge = preload("bridge_v1.gd")
const CommandRecord = preload("command_record.gd")

const FIRST_RETRY_S = 0.1
const LONGEST_RETRY_S = 5.0

# The twin must be told this.
signal answered(ack)
# Something was changed in the scene, with what is read back.
signal applied(observed)
# The message with this number was dealt with.
signal finished(seq)

var _record
var _waiting = []  # [number of the message, command]
var _unrecorded = null  # the answer that the disk does not take
var _unrecorded_seqs = []
var _pause_s = FIRST_RETRY_S
var _retry_ms = 0


func _init(wire, record_file):
	_record = CommandRecord.new(wire, record_file)


func put(seq, command):
	if _unrecorded != null and _unrecorded["command_id"] == command.get("id", ""):
		_unrecorded_seqs.append(seq)  # one answer serves all
	else:
		_waiting.append([seq, command])


# The stream broke: what was not dealt with comes again.
func break_off():
	_waiting.clear()
	_unrecorded_seqs.clear()


# Obeys what waits. Call it after `put` and again and again: it also tries to record what could not be recorded.
func work(obeyer, revision, fencing_number, now_s):
	while _unrecorded == null or _record_it():
		if _waiting.empty():
			return
		var order = _waiting.pop_front()
		_obey(order[0], order[1], obeyer, revision, fencing_number, now_s)


func _obey(seq, command, obeyer, revision, fencing_number, now_s):
	var id = command.get("id", "")
	var known = _record.find(id)
	if known != null:
		_answer(known, [seq])
		return
	emit_signal("answered", {"command_id": id, "stage": Bridge.CommandStage.RECEIVED})
	var fencing = command.get("fencing_number", 0)
	var fenced = fencing and fencing < fencing_number
	var answer
	if fenced:
		answer = rejected("sent under the ownership `%d`, the scene has `%d`" % [fencing, fencing_number])
	else:
		answer = _outcome(command, obeyer, revision)
	answer["command_id"] = id
	answer["sim_time_s"] = now_s
	# An order of an older holding is not kept: the same one may come again from who holds the scene now.
	if fenced or command.get("dry_run", false):
		_answer(answer, [seq])
		return
	if answer["stage"] == Bridge.CommandStage.APPLIED:
		emit_signal("applied", answer.get("observed", []))
	_unrecorded = answer
	_unrecorded_seqs = [seq]
	_pause_s = FIRST_RETRY_S
	_retry_ms = 0


# False: not yet.
func _record_it():
	if OS.get_ticks_msec() < _retry_ms:
		return false
	var failed = _record.keep(_unrecorded)
	if failed != "":
		printerr("the answer to `%s` waits: %s" % [_unrecorded["command_id"], failed])
		_retry_ms = OS.get_ticks_msec() + int(1000.0 * _pause_s)
		_pause_s = min(2.0 * _pause_s, LONGEST_RETRY_S)
		return false
	var answer = _unrecorded
	_unrecorded = null
	_answer(answer, _unrecorded_seqs)
	_unrecorded_seqs = []
	return true


func _answer(answer, seqs):
	emit_signal("answered", answer)
	for seq in seqs:
		if seq:
			emit_signal("finished", seq)


func _outcome(command, obeyer, revision):
	var deadline_ns = command.get("deadline_unix_ns", 0)
	if deadline_ns and OS.get_system_time_msecs() > deadline_ns / 1000000:
		var late = "the deadline had passed when the scene got the command"
		return {"stage": Bridge.CommandStage.EXPIRED, "reason": late}
	var expected = command.get("expected_revision", 0)
	if expected and expected != revision:
		return rejected("made for revision `%d`, the scene is at `%d`" % [expected, revision])
	return obeyer.obey(command) if obeyer != null else rejected("this scene obeys no commands")


static func rejected(reason):
	return {"stage": Bridge.CommandStage.REJECTED, "reason": reason}
