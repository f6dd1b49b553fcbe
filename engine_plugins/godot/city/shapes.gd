# Meshes and materials that many nodes share.
extends Reference

const SECTOR_LENGTH_M = 100.0
const SECTOR_HALF_WIDTH_DEG = 32.5  # half of the 65 degrees at which a sector antenna has lost 3 dB (TR 38.901 7.3-1)
const SECTOR_HALF_HEIGHT_DEG = 4.0
const SECTOR_STEPS = 8

const LAND_USES = {
	"residential": Color("c9b79c"),
	"office": Color("9fb4c7"),
	"transport": Color("a3a3a3"),
	"entertainment": Color("c79fb6"),
}

var box = CubeMesh.new()
var mast = CylinderMesh.new()
var person = CapsuleMesh.new()
var beacon = PrismMesh.new()
var sector = _sector_mesh()

var _materials = {}


func _init():
	box.size = Vector3.ONE
	mast.top_radius = 1.5
	mast.bottom_radius = 3.5
	mast.height = 1.0
	mast.radial_segments = 8
	person.radius = 3.0
	person.mid_height = 6.0
	person.radial_segments = 8
	person.rings = 2
	beacon.size = Vector3(14.0, 14.0, 4.0)


# One material per colour; `clear` ones are seen through and from both sides.
func material(colour, clear = false):
	var key = [colour.to_html(), clear]
	if not _materials.has(key):
		var made = SpatialMaterial.new()
		made.albedo_color = colour
		made.roughness = 0.9
		if clear:
			made.flags_transparent = true
			made.flags_unshaded = true
			made.params_cull_mode = SpatialMaterial.CULL_DISABLED
		_materials[key] = made
	return _materials[key]


# A wedge that opens along -z, the way a node looks: as wide as the antenna's main lobe.
static func _sector_mesh():
	var tool_ = SurfaceTool.new()
	tool_.begin(Mesh.PRIMITIVE_TRIANGLES)
	for step in range(SECTOR_STEPS):
		var left = _rim(step, 1.0)
		var right = _rim(step + 1, 1.0)
		var low_left = _rim(step, -1.0)
		var low_right = _rim(step + 1, -1.0)
		for corner in [
			Vector3.ZERO, left, right, Vector3.ZERO, low_right, low_left, left, low_left, right, right, low_left, low_right
		]:
			tool_.add_vertex(corner)
	for side in [0, SECTOR_STEPS]:
		for corner in [Vector3.ZERO, _rim(side, 1.0), _rim(side, -1.0)]:
			tool_.add_vertex(corner)
	tool_.generate_normals()
	return tool_.commit()


static func _rim(step, high):
	var aside = deg2rad(SECTOR_HALF_WIDTH_DEG * (2.0 * step / SECTOR_STEPS - 1.0))
	var up = high * tan(deg2rad(SECTOR_HALF_HEIGHT_DEG))
	return SECTOR_LENGTH_M * Vector3(sin(aside), up, -cos(aside))
