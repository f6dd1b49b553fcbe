# What the scene still has to say: in which order it goes and what may be lost.
#
# Control messages first, then lossless ones (numbered, kept until acknowledged, at most a window of them under way),
# then newest-wins ones (one slot per channel, sent only with credit), then a bare acknowledgement. Bodies are encoded
# once; the header is put before them when they go, because serialized messages merge when they are joined.
extends Reference

const MOST_KEPT = 4096

var sim_time_s = 0.0
var dropped = {}  # channel -> messages replaced before there was credit
var age_ms = {}  # channel -> how old the message sent last was when it went out

var _wire
var _open = false
var _control = []
var _kept = []
var _first_kept = 1
var _sent = 0
var _window = 0
var _newest = {}  # channel -> [body, since]
var _credits = {}
var _ack = 0
var _ack_told = 0


func _init(wire):
	_wire = wire


# A new session: everything that was not acknowledged goes out again, numbered from 1.
func begin(window):
	_first_kept = 1
	_sent = 0
	_ack = 0
	_ack_told = 0
	_window = window
	_open = true


# The old session goes on after `ack`. False: the twin acknowledges what was never sent.
func resume(ack, window):
	if ack > _sent:
		return false
	_forget(ack)
	_sent = _first_kept - 1
	_window = window
	_open = true
	return true


# No stream: credit and control messages belong to the one that broke.
func suspend():
	_open = false
	_control.clear()
	_credits.clear()


func control(body):
	_control.append(_wire.encode("ConnectRequest", body))


# False: the twin has been away for so long that nothing more can be kept.
func lossless(body):
	if _kept.size() >= MOST_KEPT:
		return false
	_kept.append(_wire.encode("ConnectRequest", body))
	return true


# Lossless too, but beyond the limit: for the few that answer what the twin asked.
func answer(body):
	_kept.append(_wire.encode("ConnectRequest", body))


func newest(channel, body):
	if _newest.has(channel):
		dropped[channel] = dropped.get(channel, 0) + 1
	_newest[channel] = [_wire.encode("ConnectRequest", body), OS.get_ticks_msec()]


func grant(channel, messages):
	_credits[channel] = _credits.get(channel, 0) + messages


# The twin's messages up to `seq` were dealt with.
func acknowledge(seq):
	_ack = int(max(_ack, seq))


# The twin has dealt with ours up to `seq`. False: that number was never sent.
func acknowledged(seq):
	if seq > _sent:
		return false
	_forget(seq)
	return true


func depth():
	return _kept.size()


# The next envelope, or null when there is nothing to say now.
func next():
	if not _open:
		return null
	if _control.size():
		return _envelope(_control.pop_front(), 0)
	var under_way = _sent - (_first_kept - 1)
	if under_way < _kept.size() and under_way < _window:
		_sent += 1
		return _envelope(_kept[under_way], _sent)
	for channel in _newest:
		if _credits.get(channel, 0) > 0:
			var slot = _newest[channel]
			_credits[channel] -= 1
			_newest.erase(channel)
			age_ms[channel] = OS.get_ticks_msec() - slot[1]
			return _envelope(slot[0], 0)
	return _envelope(PoolByteArray(), 0) if _ack > _ack_told else null


func _envelope(body, seq):
	_ack_told = _ack
	var header = {
		"seq": seq,
		"ack": _ack,
		"wall_time_unix_ns": OS.get_system_time_msecs() * 1000000,
		"sim_time_s": sim_time_s,
	}
	return _wire.encode("ConnectRequest", header) + body


func _forget(up_to):
	while _first_kept <= up_to and _kept.size():
		_kept.pop_front()
		_first_kept += 1
