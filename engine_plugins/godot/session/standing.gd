# What the scene said and means to stay true: told again after every break, so that nobody has to remember it.
extends Reference

const Bridge = preload("bridge_v1.gd")

# Credit for what is subscribed; half of it is given back at a time.
const CREDIT = 16
const CREDITED = [Bridge.Channel.TELEMETRY, Bridge.Channel.PRESENCE, Bridge.Channel.CAMERA, Bridge.Channel.VOICE]

var _outbox
var _has_stream = false
var _observed = {}
var _is_live = false
var _subscribe = null
var _taken = {}


func _init(outbox):
	_outbox = outbox


# Configuration as read back in the scene.
func observe(attributes):
	_remember(attributes)
	_tell_observed()


# What an order changed; a scene that tells no configuration keeps silent about it.
func note(attributes):
	if _observed.size():
		_remember(attributes)


func live(now_s):
	_is_live = true
	_outbox.sim_time_s = now_s
	_tell_live()


func subscribe(wanted):
	_subscribe = wanted
	if _has_stream:
		_tell_subscribe()


# A message of a channel that needs our credit was taken.
func taken(channel):
	_taken[channel] = _taken.get(channel, 0) + 1
	if _taken[channel] >= CREDIT / 2:
		_outbox.control({"credit": {"channel": channel, "messages": _taken[channel]}})
		_taken[channel] = 0


# The stream has begun. A resumed session knows what was subscribed, unless it changed meanwhile; the last one counts.
func stream_began():
	_has_stream = true
	if _subscribe != null:
		_tell_subscribe()


# The inventory is here, or the session went on.
func scene_started():
	if _observed.size():
		_tell_observed()
	if _is_live:
		_tell_live()


func stream_ended():
	_has_stream = false


func _remember(attributes):
	for attribute in attributes:
		_observed[attribute["entity_id"] + "\n" + attribute["attribute"]] = attribute


func _tell_observed():
	var told = {"attributes": _observed.values(), "sim_time_s": _outbox.sim_time_s}
	_outbox.answer({"observed_configuration": told})


func _tell_live():
	_outbox.answer({"live_notice": {"sim_time_s": _outbox.sim_time_s}})


func _tell_subscribe():
	_outbox.control({"subscribe": _subscribe})
	_taken.clear()
	for channel in _subscribe.get("channels", []):
		if channel in CREDITED:
			_outbox.control({"credit": {"channel": channel, "messages": CREDIT}})
