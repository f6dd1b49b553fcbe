# The scene: joins the session, the city and the view.
extends Spatial

const Bridge = preload("res://session/bridge_v1.gd")
const Colours = preload("res://city/colours.gd")
const Figures = preload("res://city/figures.gd")
const Obeyer = preload("res://city/obeyer.gd")
const Options = preload("res://options.gd")
const Photographer = preload("res://view/photographer.gd")
const Frame = preload("res://city/frame.gd")

const UE_KPI = "RF.serving.RSRP"
const CELL_KPI = "RRU.PrbTotDl"
const PRESENCE_PERIOD_S = 1.0

export var address = "ws://127.0.0.1:8600/bridge"
export var scene_id = "main"
export var provide_kpi = false

var _options = Options.new()
var _begun = false
var _begin_s = 0.0
var _begin_ms = 0
var _speed = 1.0
var _sent_ms = 0
var _told_s = 0.0
var _presence_s = 0.0
var _shown_from = Transform()  # where others last saw this camera
var _shown = false
var _lasted_s = 0.0

onready var _session = $Session
onready var _city = $City
onready var _rig = $Camera
onready var _hud = $Hud


func _ready():
	_options.address = address
	_options.scene_id = scene_id
	_options.provide_kpi = provide_kpi
	_options.read(OS.get_cmdline_args())
	if _options.unknown:
		print("unknown options: %s\n%s" % [PoolStringArray(_options.unknown).join(" "), Options.WORDS])
		get_tree().quit(2)
		return
	get_tree().set_auto_accept_quit(false)
	$Overlays.setup(_city)
	$Photographer.setup(_rig, _session)
	_session.url = _options.address
	_session.scene_id = _options.scene_id
	_session.token = _options.token
	_session.ca_file = _options.ca_file
	_session.record_file = _options.record_file
	_session.takeover = _options.takeover
	if _options.provide_kpi:
		_session.provides = [Bridge.Provision.MOTION, Bridge.Provision.KPI]
	_session.camera_codecs = ["png", "raw"] if Photographer.has_screen() else []
	_session.archetypes = Obeyer.ARCHETYPES.keys()
	_session.obeyer = Obeyer.new(_city, $Overlays, _rig)
	_session.connect("state_changed", self, "_on_state_changed")
	_session.connect("welcomed", self, "_on_welcomed")
	_session.connect("inventory_replaced", self, "_on_inventory_replaced")
	_session.connect("inventory_changed", self, "_on_inventory_changed")
	_session.connect("desired", self, "_on_desired")
	_session.connect("opened", self, "_on_opened")
	_session.connect("camera_requested", $Photographer, "take")
	_session.connect("told", self, "_on_told")
	_session.subscribe({"channels": [Bridge.Channel.TELEMETRY, Bridge.Channel.PM, Bridge.Channel.PRESENCE]})
	_session.begin()


func _on_state_changed(state, detail):
	_hud.show_state(state, detail)
	print("%s: %s" % [_session.State.keys()[state].to_lower(), detail])


# Simulated time begins once and never goes back.
func _on_welcomed(welcome):
	_begin_s = _now_s() if _begun else ceil(_session.first_sim_time_s())
	_speed = max(welcome.get("speed", 1.0), 0.0)
	_begin_ms = OS.get_ticks_msec()


func _now_s():
	return _begin_s + _speed * (OS.get_ticks_msec() - _begin_ms) / 1000.0


func _on_inventory_replaced(entities):
	_city.replace(entities)
	_hud.show_facts(_city.counts(), _session.revision)
	if not _begun:
		_rig.look(_centre(), 0.55 * max(_city.extent.size.x, _city.extent.size.z), 20.0, 35.0)


func _centre():
	var box = _city.extent
	return Vector3(box.position.x + box.size.x / 2.0, 0.0, box.position.z + box.size.z / 2.0)


func _on_inventory_changed(upsert, gone):
	_city.change(upsert, gone)
	_hud.show_facts(_city.counts(), _session.revision)


func _on_desired(attributes):
	for attribute in attributes:
		_city.set_attribute(attribute)


func _on_opened(resumed):
	if not _begun:
		_begun = true
		_told_s = _begin_s
		if _options.provide_kpi:
			_session.send_observed(_city.configuration())
		_session.send_live(_begin_s)
	if not resumed:
		_shown = false
		_session.send_event("scene.built", _city.counts())


# Figures that somebody else computes for this scene colour it; where things are, it knows itself.
func _on_told(kind, body):
	match kind:
		"telemetry":
			_colour(body, body.get("kpis", []), UE_KPI)
		"pm_report":
			_colour(body, body.get("counters", []), CELL_KPI)
		"presence_list":
			var names = []
			for person in body.get("people", []):
				if person.get("session_id", "") != _session.welcome.get("session_id", ""):
					names.append(person.get("name", ""))
			_hud.show_people(names)


func _colour(body, columns, kpi):
	var column = columns.find(kpi)
	if column < 0:
		return
	var values = body.get("values", PoolRealArray())
	var indices = body.get("entity_index", PoolIntArray())
	for i in range(indices.size()):
		_colour_one(indices[i], kpi, values[i * columns.size() + column])


func _colour_one(index, kpi, value):
	var row = _city.entity(index)
	if row == null or not _city.nodes.has(row["id"]):
		return
	var node = _city.nodes[row["id"]]
	var colour = Colours.of(kpi, value)
	if row["kind"] == "cell":
		node.colour_by(colour)
	elif row["kind"] == "ue":
		node.material_override = _city.shapes.material(colour if colour != null else Colours.NEUTRAL)


func _process(delta):
	if not _begun:
		return
	_lasted_s += delta
	if _lasted_s >= _options.lasts_s:
		_leave("its time is over")
		return
	var now_s = _now_s()
	_city.walk_to(now_s)
	if not _session.is_open():
		return
	var rate_hz = _session.welcome.get("telemetry_rate_hz", 10.0)
	if OS.get_ticks_msec() - _sent_ms >= 1000.0 / max(rate_hz, 0.1):
		_sent_ms = OS.get_ticks_msec()
		_send_figures(now_s)
	_presence_s += delta
	if _presence_s >= PRESENCE_PERIOD_S and not (_shown and _rig.global_transform == _shown_from):
		_presence_s = 0.0
		_shown = true
		_shown_from = _rig.global_transform
		_session.send_presence(_presence())


func _send_figures(now_s):
	var places = _city.positions()
	var batch = {"sim_time_s": now_s, "keyframe": true, "entity_index": places[0], "position_m": places[1]}
	if _options.provide_kpi and now_s >= _told_s + 1.0:
		var sectors = _city.sectors()
		var heard = Figures.receive(_city.phones(), sectors)
		batch["kpis"] = [UE_KPI]
		batch["values"] = heard[1]
		_tell_period(floor(now_s), sectors, heard[0])
		for i in range(places[0].size()):
			_colour_one(places[0][i], UE_KPI, heard[1][i])
	_session.send_telemetry(batch)


# Counters of the second that ended; of several that passed unseen only the last was measured.
func _tell_period(end_s, sectors, serving):
	_told_s = end_s
	var indices = PoolIntArray()
	for sector in sectors:
		indices.append(sector.get_meta("index"))
	var report = {
		"granularity_period_s": 1,
		"period_end_sim_time_s": end_s,
		"entity_index": indices,
		"counters": ["RRC.ConnMean"],
		"values": Figures.connected(serving, sectors),
	}
	if not _session.send_pm(report):
		print("lost: the report of %d s, because the twin has been away for too long" % end_s)


func _presence():
	return {
		"name": "Godot %s" % _options.scene_id,
		"camera_position": Frame.to_wire(_rig.global_transform.origin),
		"camera_rotation": Frame.camera_rotation(_rig.global_transform.basis),
	}


func _notification(what):
	if what == MainLoop.NOTIFICATION_WM_QUIT_REQUEST:
		_leave("the player left")


func _leave(reason):
	_session.leave(reason)
	get_tree().quit()
