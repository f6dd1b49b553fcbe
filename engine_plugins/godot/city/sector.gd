# One cell: a wedge at its antenna that turns, tilts, grows with its power and greys when it is locked.
#
# The nodes themselves hold the angles: this node's yaw is the azimuth, its child's pitch the tilt, so that what is
# read back is what is seen.
extends Spatial

const LOCKED_COLOUR = Color(0.45, 0.45, 0.45, 0.35)
const NEUTRAL_COLOUR = Color(0.20, 0.55, 0.95, 0.45)
const LEAST_DBM = 20.0
const MOST_DBM = 49.0

# TS 28.541: name -> [least, most] in the unit of the wire (0.1 degree, mW), or the members.
const ATTRIBUTES = {
	"digitalTilt": [-900, 900],
	"digitalAzimuth": [-1800, 1800],
	"configuredMaxTxPower": [0, 200000],
	"administrativeState": ["LOCKED", "UNLOCKED"],
}

var carrier_hz = 3.5e9
var tx_power_mw = 40000.0
var locked = false

var _shapes
var _azimuth_deg = 0.0  # of the mast; digitalAzimuth turns away from it
var _tilt = Spatial.new()
var _wedge = MeshInstance.new()
var _colour = NEUTRAL_COLOUR


func setup(shapes, entity):
	_shapes = shapes
	var properties = entity.get("properties", {})
	_azimuth_deg = properties.get("azimuth_deg", {}).get("number", 0.0)
	carrier_hz = properties.get("carrier_hz", {}).get("number", 3.5e9)
	_wedge.mesh = shapes.sector
	_wedge.cast_shadow = GeometryInstance.SHADOW_CASTING_SETTING_OFF
	_tilt.add_child(_wedge)
	add_child(_tilt)
	rotation_degrees.y = -_azimuth_deg
	_show()


# Why the value cannot be meant, or "".
static func objection(name, value):
	if not ATTRIBUTES.has(name):
		return "this scene has no attribute `%s`; it has %s" % [name, PoolStringArray(ATTRIBUTES.keys()).join(", ")]
	var allowed = ATTRIBUTES[name]
	if allowed[0] is String:
		var text = value.get("text", "")
		return "" if text in allowed else "`%s` is one of %s, not `%s`" % [name, PoolStringArray(allowed).join(", "), text]
	if not value.has("number") or is_nan(value["number"]):
		return "`%s` needs a number" % name
	if value["number"] < allowed[0] or value["number"] > allowed[1]:
		return "`%s` lies in %d..%d, `%s` does not" % [name, allowed[0], allowed[1], value["number"]]
	return ""


func set_attribute(name, value):
	match name:
		"digitalTilt":
			_tilt.rotation_degrees.x = -value["number"] / 10.0
		"digitalAzimuth":
			rotation_degrees.y = -(_azimuth_deg + value["number"] / 10.0)
		"configuredMaxTxPower":
			tx_power_mw = value["number"]
		"administrativeState":
			locked = value["text"] == "LOCKED"
	_show()


# The value as the nodes have it. Angles are 32-bit floats there, so they are rounded to the attribute's whole step.
func read_attribute(name):
	match name:
		"digitalTilt":
			return {"number": round(-10.0 * _tilt.rotation_degrees.x)}
		"digitalAzimuth":
			return {"number": round(10.0 * wrapf(-rotation_degrees.y - _azimuth_deg, -180.0, 180.0))}
		"configuredMaxTxPower":
			return {"number": tx_power_mw}
		_:
			return {"text": "LOCKED" if locked else "UNLOCKED"}


func tx_power_dbm():
	return 10.0 * log(max(tx_power_mw, 1.0)) / log(10.0)


# Colours by a figure; null goes back to no figure.
func colour_by(colour):
	_colour = NEUTRAL_COLOUR if colour == null else Color(colour.r, colour.g, colour.b, NEUTRAL_COLOUR.a)
	_show()


func _show():
	_wedge.material_override = _shapes.material(LOCKED_COLOUR if locked else _colour, true)
	_wedge.scale = Vector3.ONE * lerp(0.4, 1.3, clamp(inverse_lerp(LEAST_DBM, MOST_DBM, tx_power_dbm()), 0.0, 1.0))
