# Signs of life: heartbeats of both sides, how long the other has been silent, and what was dropped meanwhile.
extends Reference

const Bridge = preload("bridge_v1.gd")
const HEARTBEATS_MISSED = 3

var round_trip_ms = 0.0

var _outbox
var _interval_ms = 2000.0
var _number = 0
var _due_ms = 0
var _heard_ms = 0
var _told_dropped = 0


func _init(outbox):
	_outbox = outbox


func begin(interval_s):
	_interval_ms = 1000.0 * interval_s
	_due_ms = 0


func heard():
	_heard_ms = OS.get_ticks_msec()


func silence_s():
	return (OS.get_ticks_msec() - _heard_ms) / 1000.0


func is_dead():
	return 1000.0 * silence_s() > HEARTBEATS_MISSED * _interval_ms


func beat():
	var now_ms = OS.get_ticks_msec()
	if now_ms < _due_ms:
		return
	_due_ms = now_ms + int(_interval_ms)
	_number += 1
	_outbox.control({"heartbeat": {"number": _number, "sent_unix_ns": OS.get_system_time_msecs() * 1000000}})


func answer(heartbeat):
	var reply = {
		"number": heartbeat.get("number", 0),
		"sent_unix_ns": heartbeat.get("sent_unix_ns", 0),
		"received_unix_ns": OS.get_system_time_msecs() * 1000000,
	}
	_outbox.control({"heartbeat_reply": reply})
	var channel = Bridge.Channel.TELEMETRY
	var dropped = _outbox.dropped.get(channel, 0)
	if dropped != _told_dropped:
		_told_dropped = dropped
		var age_ms = float(_outbox.age_ms.get(channel, 0))
		_outbox.control({"flow_report": {"channel": channel, "dropped": dropped, "age_ms": age_ms}})


func answered(reply):
	round_trip_ms = OS.get_system_time_msecs() - reply.get("sent_unix_ns", 0) / 1000000
