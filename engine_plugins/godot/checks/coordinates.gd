# Converts the golden vectors with city/frame.gd and writes what came out. Run by tests/contract/test_godot_codec.py:
#   godot3-server --path engine_plugins/godot -s checks/coordinates.gd --in=proto/golden/coordinates.json --out=FILE
extends SceneTree

const Frame = preload("res://city/frame.gd")


func _init():
	var paths = {}
	for word in OS.get_cmdline_args():
		if word.begins_with("--in=") or word.begins_with("--out="):
			paths[word.split("=")[0]] = word.split("=", true, 1)[1]
	var file = File.new()
	if file.open(paths["--in"], File.READ) != OK:
		quit(1)
		return
	var golden = parse_json(file.get_as_text())
	file.close()
	var points = []
	for row in golden["points"]:
		var here = Frame.to_godot({"east_m": row["enu"][0], "north_m": row["enu"][1], "up_m": row["enu"][2]})
		var back = Frame.to_wire(here)
		points.append([[here.x, here.y, here.z], [back["east_m"], back["north_m"], back["up_m"]]])
	var rotations = []
	for row in golden["rotations"]:
		var quat = Frame.rotation(row["enu"])
		rotations.append([quat.x, quat.y, quat.z, quat.w])
	var views = []
	for row in golden["views"]:
		var ahead = Frame.direction(row["azimuth_deg"], row["downtilt_deg"])
		var yaw = Basis(Vector3.UP, deg2rad(-row["azimuth_deg"]))
		var turned = yaw * Basis(Vector3.RIGHT, deg2rad(-row["downtilt_deg"]))
		views.append([[ahead.x, ahead.y, ahead.z], Frame.camera_rotation(turned)])
	if file.open(paths["--out"], File.WRITE) != OK:
		quit(1)
		return
	file.store_string(to_json({"points": points, "rotations": rotations, "views": views}))
	file.close()
	quit()
