# The user's camera: looks at a point from a distance. Drag turns, the wheel goes nearer, arrows move; so does the twin.
extends Camera

const Frame = preload("res://city/frame.gd")
const CAMERA_ID = "main"
const LEAST_M = 10.0
const MOST_M = 6000.0

var target = Vector3.ZERO
var distance_m = 900.0
var azimuth_deg = 20.0
var pitch_down_deg = 35.0


func _ready():
	far = 12000.0
	near = 1.0
	_place()


# Distance 0 keeps the present one.
func look(point, distance, azimuth, pitch_down):
	target = point
	if distance > 0.0:
		distance_m = distance
	azimuth_deg = azimuth
	pitch_down_deg = pitch_down
	_place()


func horizontal_fov_deg():
	var size = get_viewport().size
	return rad2deg(2.0 * atan(tan(deg2rad(fov) / 2.0) * size.x / max(size.y, 1.0)))


func _place():
	var ahead = Frame.direction(azimuth_deg, clamp(pitch_down_deg, -89.0, 89.0))
	look_at_from_position(target - ahead * distance_m, target, Vector3.UP)


func _unhandled_input(event):
	if event is InputEventMouseMotion and event.button_mask & BUTTON_MASK_LEFT:
		azimuth_deg += 0.3 * event.relative.x
		pitch_down_deg = clamp(pitch_down_deg + 0.3 * event.relative.y, 2.0, 89.0)
		_place()
	elif event is InputEventMouseButton and event.pressed and event.button_index in [BUTTON_WHEEL_UP, BUTTON_WHEEL_DOWN]:
		var factor = 0.87 if event.button_index == BUTTON_WHEEL_UP else 1.15
		distance_m = clamp(factor * distance_m, LEAST_M, MOST_M)
		_place()


func _process(delta):
	var ahead = Input.get_action_strength("ui_up") - Input.get_action_strength("ui_down")
	var right = Input.get_action_strength("ui_right") - Input.get_action_strength("ui_left")
	if ahead == 0.0 and right == 0.0:
		return
	var step_m = distance_m * delta
	target += step_m * (ahead * Frame.direction(azimuth_deg, 0.0) + right * Frame.direction(azimuth_deg + 90.0, 0.0))
	_place()
