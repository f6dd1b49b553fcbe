# What the scene does when the twin orders something. Everything is checked before anything is changed.
extends Reference

const Bridge = preload("res://session/bridge_v1.gd")
const Frame = preload("frame.gd")
const Sector = preload("sector.gd")

const ARCHETYPES = {
	"kiosk": [Vector3(6, 5, 6), Color("c0392b")],
	"drone": [Vector3(3, 1, 3), Color("222222")],
	"barrier": [Vector3(12, 2, 1), Color("e67e22")],
}

var _city
var _overlays
var _rig
var _spawned = {}  # id -> node


func _init(city, overlays, rig):
	_city = city
	_overlays = overlays
	_rig = rig


func obey(command):
	var dry_run = command.get("dry_run", false)
	for kind in ["set_attributes", "overlay", "camera", "spawn"]:
		if command.has(kind):
			return call("_" + kind, command[kind], dry_run)
	for kind in ["manage_fault", "simulation_control"]:
		if command.has(kind):
			return _rejected("this scene knows no `%s`; it sets attributes, overlays, cameras and objects" % kind)
	return _rejected("the scene does not know this kind of order")


func _set_attributes(order, dry_run):
	var actions = order.get("actions", [])
	for action in actions:
		var id = action.get("entity_id", "")
		if not _city.nodes.get(id) is Sector:
			return _rejected("no cell of this scene has the id `%s`" % id)
		var wrong = Sector.objection(action.get("attribute", ""), action.get("value", {}))
		if wrong != "":
			return _rejected(wrong)
	if dry_run:
		return _applied(actions)
	var observed = []
	for action in actions:
		var sector = _city.nodes[action["entity_id"]]
		sector.set_attribute(action["attribute"], action["value"])
		var value = sector.read_attribute(action["attribute"])
		observed.append({"entity_id": action["entity_id"], "attribute": action["attribute"], "value": value})
	return _applied(observed)


func _overlay(order, dry_run):
	var id = order.get("overlay_id", "")
	match order.get("operation", 0):
		Bridge.OverlayOperation.CLEAR:
			if not dry_run:
				_overlays.clear(id)
			return _applied([])
		Bridge.OverlayOperation.SHOW:
			pass
		_:
			return _rejected("an overlay is shown or cleared")
	var ids = order.get("entity_ids", [])
	for entity_id in ids:
		if not _city.nodes.has(entity_id):
			return _rejected("this scene shows no entity `%s`" % entity_id)
	var colour = order.get("colour", "")
	if colour != "" and not colour.is_valid_html_color():
		return _rejected("`%s` is no colour; write #rrggbb" % colour)
	if order.get("text", "") != "" and not ids and not order.has("position"):
		return _rejected("a label needs a position or an entity")
	if not dry_run:
		_overlays.show_overlay(id, ids, order.get("text", ""), colour, order.get("position"), order.get("ttl_s", 0.0))
	return _applied([])


func _camera(order, dry_run):
	if not order.get("camera_id", "") in ["", _rig.CAMERA_ID]:
		return _rejected("this scene has no camera `%s`; it has `%s`" % [order["camera_id"], _rig.CAMERA_ID])
	var target
	if order.get("entity_id", "") != "":
		if not _city.nodes.has(order["entity_id"]):
			return _rejected("this scene shows no entity `%s`" % order["entity_id"])
		target = _city.nodes[order["entity_id"]].translation
	elif order.has("target"):
		target = Frame.to_godot(order["target"])
	else:
		return _rejected("a camera needs an entity or a point to look at")
	if not dry_run:
		_rig.look(
			target,
			order.get("distance_m", 0.0),
			order.get("azimuth_deg", 0.0),
			clamp(order.get("pitch_down_deg", 0.0), -89.0, 89.0)
		)
	return _applied([])


func _spawn(order, dry_run):
	var id = order.get("entity_id", "")
	var archetype = order.get("archetype", "")
	if id == "":
		return _rejected("an object needs an id")
	var there = _spawned.get(id)
	if archetype == "":
		if there == null:
			return _rejected("this scene spawned no `%s`" % id)
		if not dry_run:
			_spawned.erase(id)
			there.queue_free()
		return _applied([])
	if not ARCHETYPES.has(archetype):
		var known = PoolStringArray(ARCHETYPES.keys()).join(", ")
		return _rejected("this scene cannot make a `%s`; it makes %s" % [archetype, known])
	if there != null or _city.nodes.has(id):
		return _rejected("`%s` is in this scene already" % id)
	if not dry_run:
		_make(id, archetype, order)
	return _applied([])


func _make(id, archetype, order):
	var node = MeshInstance.new()
	node.mesh = _city.shapes.box
	node.material_override = _city.shapes.material(ARCHETYPES[archetype][1])
	var size = ARCHETYPES[archetype][0]
	var turn = Basis(Frame.rotation(order.get("rotation", [])))
	var foot = Frame.to_godot(order.get("position", {}))
	node.transform = Transform(turn * Basis().scaled(size), foot + turn.y * size.y / 2.0)
	_city.add_child(node)
	_spawned[id] = node


static func _applied(observed):
	return {"stage": Bridge.CommandStage.APPLIED, "observed": observed}


static func _rejected(reason):
	return {"stage": Bridge.CommandStage.REJECTED, "reason": reason}
