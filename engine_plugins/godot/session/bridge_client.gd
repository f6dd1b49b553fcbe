# The session of this scene with the twin, over WebSocket: Hello, resume, acknowledgement, heartbeats, credit, orders.
# It knows the rules of the stream (docs/bridge.md) and nothing of what the scene looks like.
#
# Set the variables, give it an `obeyer` with `obey(command) -> {"stage", "observed", "reason"}`, call `begin`.
extends Node

const Wire = preload("wire.gd")
const WireSocket = preload("wire_socket.gd")
const Outbox = preload("outbox.gd")
const Orders = preload("orders.gd")
const Receipts = preload("receipts.gd")
const Standing = preload("standing.gd")
const Pulse = preload("pulse.gd")
const Moments = preload("moments.gd")
const Bridge = preload("bridge_v1.gd")

const PROTOCOL_VERSION = 1
const REACH_TIMEOUT_S = 5.0
const CHUNK_BYTES = 256 * 1024

enum State { IDLE, CONNECTING, GREETING, LOADING, OPEN, WAITING, STOPPED }

# The state changed; `detail` says why in plain words.
signal state_changed(state, detail)
# After every Welcome.
signal welcomed(welcome)
# The whole inventory, or what changed of it: rows by index, indices that are gone.
signal inventory_replaced(entities)
signal inventory_changed(upsert, gone)
signal desired(attributes)
# The session is usable, after the inventory or after a resume.
signal opened(resumed)
signal camera_requested(request)
# Any other body that the twin sends: telemetry, pm_report, alarm, event, presence_list, notice ...
signal told(kind, body)

var url = "ws://127.0.0.1:8600/bridge"
var scene_id = "main"
var token = ""
var provides = [Bridge.Provision.MOTION]
var takeover = false
var ca_file = ""
var record_file = ""
var camera_codecs = []
var archetypes = []
var obeyer = null

var state = State.IDLE
var welcome = {}
var revision = 0
var unknown_bodies = 0
var connections = 0

var _wire = Wire.new()
var _outbox = Outbox.new(_wire)
var _standing = Standing.new(_outbox)
var _pulse = Pulse.new(_outbox)
var _orders = null
var _socket = WireSocket.new()
var _snapshot = []
var _desired = []
var _receipts = Receipts.new()
var _telemetry_number = 0
var _pm_number = 0
var _retry_ms = 0
var _least_wait_s = 0.0
var _final = false


func begin():
	_orders = Orders.new(_wire, record_file)
	_orders.connect("answered", self, "_on_answered")
	_orders.connect("applied", _standing, "note")
	_orders.connect("finished", self, "_on_finished")
	_socket.url = url
	_socket.ca_file = ca_file
	_socket.connect("established", self, "_on_established")
	_socket.connect("arrived", self, "_on_arrived")
	_socket.connect("lost", self, "_on_lost")
	_open_socket()


func is_open():
	return state == State.OPEN


func sim_time_s():
	return _outbox.sim_time_s


# When simulated time begins: at wall now, never before what the twin remembers.
func first_sim_time_s():
	var remembered_s = welcome.get("resume_at_sim_s", 0.0) if welcome.get("has_resume_time", false) else 0.0
	var epoch_s = Moments.unix_s_of(welcome.get("sim_epoch", ""))
	return max(remembered_s, OS.get_system_time_msecs() / 1000.0 - epoch_s) if epoch_s != null else remembered_s


func dropped():
	return _outbox.dropped.get(Bridge.Channel.TELEMETRY, 0)


# Of the last heartbeat; 0 before its answer.
func round_trip_ms():
	return _pulse.round_trip_ms


func unacknowledged():
	return _outbox.depth()


# What the scene says.


# Positions and gauges; newest wins.
func send_telemetry(batch):
	_telemetry_number += 1
	batch["number"] = _telemetry_number
	batch["epoch"] = 1
	batch["revision"] = revision
	_outbox.sim_time_s = batch["sim_time_s"]
	_outbox.newest(Bridge.Channel.TELEMETRY, {"telemetry": batch})


func send_pm(report):
	_pm_number += 1
	report["number"] = _pm_number
	report["epoch"] = 1
	report["revision"] = revision
	return _outbox.lossless({"pm_report": report})


# Told now, and again after every start.
func send_observed(attributes):
	_standing.observe(attributes)


# Told now, and again after every start.
func send_live(now_s):
	_standing.live(now_s)


func send_event(name, facts):
	var values = {}
	for fact in facts:
		values[fact] = {"text": facts[fact]} if facts[fact] is String else {"number": float(facts[fact])}
	return _outbox.lossless({"event": {"name": name, "facts": values, "sim_time_s": _outbox.sim_time_s}})


func send_presence(presence):
	if is_open():
		_outbox.control({"presence": presence})


# The last one counts and outlives a break.
func subscribe(wanted):
	_standing.subscribe(wanted)


# Sends a picture in parts, or with `reason` in `frame` why there is none.
func send_picture(frame, bytes):
	frame["total_bytes"] = bytes.size()
	var begin = 0
	while true:
		var part = frame.duplicate()
		var end = int(min(begin + CHUNK_BYTES, bytes.size()))
		part["offset"] = begin
		part["data"] = bytes.subarray(begin, end - 1) if end > begin else PoolByteArray()
		part["last"] = end >= bytes.size()
		_outbox.control({"camera_frame": part})
		begin = end
		if part["last"]:
			return


# Ends the session for good.
func leave(reason):
	if state == State.OPEN or state == State.LOADING:
		_outbox.control({"goodbye": {"reason": reason}})
		_flush()
		_socket.poll()
	_final = true
	_orders.break_off()
	_set_state(State.STOPPED, reason)


# Connecting, and coming back.


func _open_socket():
	_least_wait_s = 0.0
	_pulse.heard()
	_set_state(State.CONNECTING, url)
	var wrong = _socket.open()
	if wrong != "":
		_final = true
		_set_state(State.STOPPED, wrong)


func _process(_delta):
	if _orders != null:
		_work_off_orders()
	if state == State.WAITING and OS.get_ticks_msec() >= _retry_ms:
		_open_socket()
	if state in [State.IDLE, State.WAITING, State.STOPPED]:
		return
	_socket.poll()
	if state in [State.CONNECTING, State.GREETING]:
		if _pulse.silence_s() > REACH_TIMEOUT_S:
			_socket.close("no answer within %d s" % REACH_TIMEOUT_S)
	elif state in [State.LOADING, State.OPEN]:
		if _pulse.is_dead():
			_socket.close("the twin gave no sign of life for %.1f s" % _pulse.silence_s())
		else:
			_pulse.beat()
		_flush()


func _on_established():
	var hello = {
		"protocol_min": PROTOCOL_VERSION,
		"protocol_max": PROTOCOL_VERSION,
		"role": Bridge.Role.SCENE,
		"scene_id": scene_id,
		"provides": provides,
		"engine": "godot",
		"engine_version": Engine.get_version_info()["string"],
		"frame": Bridge.Frame.GLTF,
		"capabilities": {"camera_codecs": camera_codecs, "archetypes": archetypes},
		"token": token,
		"epoch": 1,
		"takeover": takeover and not welcome.has("session_id"),
	}
	if welcome.get("resume_token", "") != "":
		hello["resume"] = {
			"session_id": welcome["session_id"], "resume_token": welcome["resume_token"], "last_seq": _receipts.done
		}
	var now_ns = OS.get_system_time_msecs() * 1000000
	_socket.send(_wire.encode("ConnectRequest", {"hello": hello, "wall_time_unix_ns": now_ns}))
	_set_state(State.GREETING, url)


func _on_lost(reason):
	if state in [State.WAITING, State.STOPPED]:
		return
	_outbox.suspend()
	_orders.break_off()
	_standing.stream_ended()
	_snapshot.clear()
	if _final:
		_set_state(State.STOPPED, reason)
		return
	if state in [State.LOADING, State.OPEN]:
		_socket.succeeded()
	_retry_ms = OS.get_ticks_msec() + int(1000.0 * max(_least_wait_s, _socket.next_pause_s()))
	_set_state(State.WAITING, reason)


func _set_state(next, detail):
	state = next
	emit_signal("state_changed", state, detail)


# Reading.


func _on_arrived(bytes):
	if state in [State.WAITING, State.STOPPED]:
		return
	_pulse.heard()
	var response = _wire.decode("ConnectResponse", bytes)
	if response == null:
		_socket.close("%d bytes are no ConnectResponse: %s" % [bytes.size(), _wire.error])
	elif response.has("refusal"):
		_take_refusal(response["refusal"])
	elif response.has("welcome") and state == State.GREETING:
		_take_welcome(response)
	elif state == State.GREETING or response.has("welcome"):
		_socket.close("the twin must begin with Welcome, once")
	else:
		_take(response)


func _take_refusal(refusal):
	_socket.why = refusal.get("message", "refused")
	_least_wait_s = refusal.get("retry_after_s", 0.0)
	_final = _least_wait_s <= 0.0


func _take_welcome(response):
	var resumed = response["welcome"].get("resumed", false)
	connections += 1
	welcome = response["welcome"]
	if resumed:
		if not _outbox.resume(response.get("ack", 0), welcome.get("lossless_window", 0)):
			_socket.close("the twin acknowledges what was never sent")
			return
		_receipts.resume()
	else:
		_receipts.begin()
		_outbox.begin(welcome.get("lossless_window", 0))
		_desired.clear()
	_outbox.grant(Bridge.Channel.TELEMETRY, welcome.get("telemetry_credits", 0))
	_standing.stream_began()
	_pulse.begin(welcome.get("heartbeat_interval_s", 2.0))
	_set_state(State.LOADING, "")
	emit_signal("welcomed", welcome)
	if resumed:
		_opened(true)


func _take(response):
	if response.has("ack") and not _outbox.acknowledged(response["ack"]):
		_socket.close("the twin acknowledges what was never sent")
		return
	var seq = response.get("seq", 0)
	if seq:
		match _receipts.arrived(seq):
			Receipts.Verdict.GAP:
				_socket.close("lossless message %d came, not %d" % [seq, _receipts.expected()])
				return
			Receipts.Verdict.REPEATED:
				return
	if response.has("command"):
		_orders.put(seq, response["command"])
		_work_off_orders()
		return
	_deal_with(response)
	if seq:
		_on_finished(seq)


func _deal_with(response):
	if response.has("topology_snapshot"):
		_take_snapshot(response["topology_snapshot"])
	elif response.has("topology_delta"):
		_take_delta(response["topology_delta"])
	elif response.has("desired_configuration"):
		_take_desired(response["desired_configuration"])
	elif response.has("camera_request"):
		emit_signal("camera_requested", response["camera_request"])
	elif response.has("state_request"):
		var id = response["state_request"].get("request_id", "")
		var reason = "this scene keeps no state that could be handed out"
		_outbox.control({"state_chunk": {"request_id": id, "reason": reason, "last": true}})
	elif response.has("credit"):
		_outbox.grant(response["credit"].get("channel", 0), response["credit"].get("messages", 0))
	elif response.has("heartbeat"):
		_pulse.answer(response["heartbeat"])
	elif response.has("heartbeat_reply"):
		_pulse.answered(response["heartbeat_reply"])
	else:
		_pass_on(response)


func _work_off_orders():
	_orders.work(obeyer, revision, welcome.get("fencing_number", 0), _outbox.sim_time_s)


func _on_answered(ack):
	_outbox.answer({"command_ack": ack})


func _on_finished(seq):
	_outbox.acknowledge(_receipts.finish(seq))


func _pass_on(response):
	for kind in response:
		if typeof(response[kind]) != TYPE_DICTIONARY:
			continue  # the header
		if kind == "notice" and response[kind].get("code", 0) == Bridge.NoticeCode.TAKEN_OVER:
			_final = true
			_socket.why = response[kind].get("message", "taken over")
		emit_signal("told", kind, response[kind])
		match kind:
			"telemetry":
				_standing.taken(Bridge.Channel.TELEMETRY)
			"presence_list":
				_standing.taken(Bridge.Channel.PRESENCE)
			"voice_chunk":
				_standing.taken(Bridge.Channel.VOICE)
			"camera_frame":
				if response[kind].get("last", false):
					_standing.taken(Bridge.Channel.CAMERA)
		return
	if not response.has("ack"):
		unknown_bodies += 1


func _take_snapshot(chunk):
	_snapshot += chunk.get("entities", [])
	if chunk.get("last", false):
		var entities = _snapshot
		_snapshot = []
		revision = chunk.get("revision", 0)
		emit_signal("inventory_replaced", entities)


func _take_delta(delta):
	if delta.get("base_revision", 0) != revision:
		_outbox.control({"topology_request": {"have_revision": revision}})
		return
	revision = delta.get("revision", 0)
	emit_signal("inventory_changed", delta.get("upsert", []), delta.get("remove", PoolIntArray()))


func _take_desired(chunk):
	_desired += chunk.get("attributes", [])
	if chunk.get("last", false):
		var attributes = _desired
		_desired = []
		emit_signal("desired", attributes)
		if state == State.LOADING:
			_opened(false)


func _opened(resumed):
	_standing.scene_started()
	_set_state(State.OPEN, "")
	emit_signal("opened", resumed)


# Writing.


func _flush():
	var envelope = _outbox.next()
	while envelope != null:
		if not _socket.send(envelope):
			_socket.close("the connection takes nothing more")
			return
		envelope = _outbox.next()
