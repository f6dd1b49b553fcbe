# What the twin shows on top of the scene: highlighted entities and pinned labels.
extends CanvasLayer

const Frame = preload("frame.gd")
const DEFAULT_COLOUR = Color("ff8800")
const MARK_HEIGHT_M = 30.0

var _city
var _shown = {}  # overlay id -> {"label", "point", "marks", "until_ms"}


func setup(city):
	_city = city


func size():
	return _shown.size()


func show_overlay(id, entity_ids, text, colour_text, position, ttl_s):
	clear(id)
	var colour = Color(colour_text) if colour_text != "" else DEFAULT_COLOUR
	var marks = []
	for entity_id in entity_ids:
		var mark = MeshInstance.new()
		mark.mesh = _city.shapes.beacon
		mark.material_override = _city.shapes.material(Color(colour.r, colour.g, colour.b, 0.9), true)
		mark.set_meta("id", entity_id)
		_city.add_child(mark)
		marks.append(mark)
	var label = null
	if text != "":
		label = Label.new()
		label.text = text
		label.add_color_override("font_color", Color.white)
		label.add_stylebox_override("normal", _box(colour.darkened(0.4)))
		add_child(label)
	var point = Frame.to_godot(position) if position != null else null
	var until_ms = OS.get_ticks_msec() + int(1000.0 * ttl_s) if ttl_s > 0.0 else 0
	_shown[id] = {"label": label, "point": point, "marks": marks, "until_ms": until_ms}
	_process(0.0)


func clear(id):
	if not _shown.has(id):
		return
	for mark in _shown[id]["marks"]:
		mark.queue_free()
	if _shown[id]["label"] != null:
		_shown[id]["label"].queue_free()
	_shown.erase(id)


func _process(_delta):
	for id in _shown.keys():
		var one = _shown[id]
		if one["until_ms"] and OS.get_ticks_msec() >= one["until_ms"]:
			clear(id)
			continue
		var first = null
		for mark in one["marks"]:
			var node = _city.nodes.get(mark.get_meta("id"))
			if node != null:
				mark.translation = node.translation + Vector3(0.0, MARK_HEIGHT_M, 0.0)
				first = first if first != null else mark.translation
		_place(one["label"], one["point"] if one["point"] != null else first)


func _place(label, point):
	var camera = get_viewport().get_camera()
	if label == null or camera == null:
		return
	label.visible = point != null and not camera.is_position_behind(point)
	if label.visible:
		label.rect_position = camera.unproject_position(point) - Vector2(label.rect_size.x / 2.0, label.rect_size.y)


static func _box(colour):
	var box = StyleBoxFlat.new()
	box.bg_color = Color(colour.r, colour.g, colour.b, 0.85)
	box.content_margin_left = 6.0
	box.content_margin_right = 6.0
	box.set_corner_radius_all(3)
	return box
