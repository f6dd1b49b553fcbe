# Answers requests for pictures with what the user's camera shows. A scene without a screen says so.
extends Node

const Bridge = preload("res://session/bridge_v1.gd")
const Frame = preload("res://city/frame.gd")

var _rig
var _bridge
var _thread = Thread.new()
var _busy = false


func setup(rig, bridge):
	_rig = rig
	_bridge = bridge


static func has_screen():
	return OS.get_name() != "Server"


func take(request):
	var frame = {"request_id": request.get("request_id", ""), "camera_id": request.get("camera_id", "")}
	var reason = _objection(request)
	if reason == "" and _busy:
		reason = "the picture before this one is not ready yet"
	if reason != "":
		frame["reason"] = reason
		_bridge.send_picture(frame, PoolByteArray())
		return
	_busy = true
	yield(VisualServer, "frame_post_draw")
	var image = get_viewport().get_texture().get_data()
	frame["position"] = Frame.to_wire(_rig.global_transform.origin)
	frame["rotation"] = Frame.camera_rotation(_rig.global_transform.basis)
	frame["horizontal_fov_deg"] = _rig.horizontal_fov_deg()
	frame["sim_time_s"] = _bridge.sim_time_s()
	# A large picture takes seconds to compress: the session must go on meanwhile.
	_thread.start(self, "_develop", [frame, image, request])


func _develop(work):
	var frame = work[0]
	var image = work[1]
	var request = work[2]
	image.flip_y()  # textures begin at the bottom
	image.convert(Image.FORMAT_RGB8)
	var size = _size(request, image)
	if size != image.get_size():
		image.resize(int(size.x), int(size.y), Image.INTERPOLATE_BILINEAR)
	var raw = request.get("codec", 0) == Bridge.ImageCodec.RAW_RGB
	frame["codec"] = Bridge.ImageCodec.RAW_RGB if raw else Bridge.ImageCodec.PNG
	frame["width"] = image.get_width()
	frame["height"] = image.get_height()
	call_deferred("_hand_over", frame, image.get_data() if raw else image.save_png_to_buffer())


func _hand_over(frame, bytes):
	_thread.wait_to_finish()
	_busy = false
	_bridge.send_picture(frame, bytes)


func _exit_tree():
	if _thread.is_active():
		_thread.wait_to_finish()


func _objection(request):
	if not has_screen():
		return "this scene runs in godot3-server, which draws nothing; start it with godot3"
	if not request.get("camera_id", "") in ["", _rig.CAMERA_ID]:
		return "this scene has no camera `%s`; it has `%s`" % [request["camera_id"], _rig.CAMERA_ID]
	if request.get("width", 0) > 4096 or request.get("height", 0) > 4096:
		return "a picture of this scene has at most 4096 pixels on a side"
	return ""


# One of the two wanted keeps the shape of the window.
static func _size(request, image):
	var width = request.get("width", 0)
	var height = request.get("height", 0)
	var shape = float(image.get_width()) / image.get_height()
	if width and not height:
		height = round(width / shape)
	elif height and not width:
		width = round(height * shape)
	return Vector2(max(width, 1), max(height, 1)) if width else image.get_size()
