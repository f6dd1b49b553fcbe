# Commands of the twin: each id is obeyed once and answered as often as it comes.
extends Reference

const Bridge = preload("bridge_v1.gd")
const CommandRecord = preload("command_record.gd")

var _record


func _init(wire, record_file):
	_record = CommandRecord.new(wire, record_file)


# Returns the answers to send, in order: RECEIVED and a final one, or only the final one that was given before.
func take(command, obeyer, revision, fencing_number, now_s):
	var id = command.get("id", "")
	var known = _record.find(id)
	if known != null:
		return [known]
	var answer = _outcome(command, obeyer, revision, fencing_number)
	answer["command_id"] = id
	answer["sim_time_s"] = now_s
	if not command.get("dry_run", false):
		var failed = _record.keep(answer)
		if failed != "":
			answer["reason"] = "obeyed with stage %d, but %s" % [answer["stage"], failed]
			answer["stage"] = Bridge.CommandStage.FAILED
	return [{"command_id": id, "stage": Bridge.CommandStage.RECEIVED}, answer]


func _outcome(command, obeyer, revision, fencing_number):
	var deadline_ns = command.get("deadline_unix_ns", 0)
	if deadline_ns and OS.get_system_time_msecs() > deadline_ns / 1000000:
		var late = "the deadline had passed when the scene got the command"
		return {"stage": Bridge.CommandStage.EXPIRED, "reason": late}
	var fencing = command.get("fencing_number", 0)
	if fencing and fencing < fencing_number:
		return rejected("sent under the ownership `%d`, the scene has `%d`" % [fencing, fencing_number])
	var expected = command.get("expected_revision", 0)
	if expected and expected != revision:
		return rejected("made for revision `%d`, the scene is at `%d`" % [expected, revision])
	return obeyer.obey(command) if obeyer != null else rejected("this scene obeys no commands")


static func rejected(reason):
	return {"stage": Bridge.CommandStage.REJECTED, "reason": reason}
