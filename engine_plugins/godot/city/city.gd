# The city as the inventory has it: one node for every entity that has a place. Buildings are square boxes, because the
# inventory carries their centre and height but no footprint; the side is taken from the distance to the next one.
extends Spatial

const Frame = preload("frame.gd")
const Shapes = preload("shapes.gd")
const Sector = preload("sector.gd")
const Walk = preload("walk.gd")
const Colours = preload("colours.gd")

const SEED = 1
const SHOWN = ["site", "cell", "building", "place", "node", "ue"]
const LEAST_SIDE_M = 8.0
const MOST_SIDE_M = 45.0
const GRID_M = 60.0

var shapes = Shapes.new()
var nodes = {}  # entity id -> node
var extent = AABB()

var _entities = {}  # index -> row of the inventory
var _walks = {}  # index of a phone -> its walk
var _ue_nodes = {}  # index of a phone -> its node
var _ground = MeshInstance.new()


func _ready():
	_ground.mesh = PlaneMesh.new()
	_ground.material_override = shapes.material(Color("7d8471"))
	add_child(_ground)


# Builds everything anew.
func replace(entities):
	for index in _entities.keys():
		_remove(index)
	var sides = _sides(entities)
	for entity in entities:
		_add(entity, sides)
	_lay_ground()


func change(upsert, gone):
	for index in gone:
		_remove(index)
	var sides = _sides(upsert)
	for entity in upsert:
		var older = _entities.get(entity.get("index", 0))
		if older != null and older.get("kind", "") == "cell" and older["id"] == entity["id"]:
			_entities[entity.get("index", 0)] = entity
			_configure(nodes[entity["id"]], entity)
		else:
			_remove(entity.get("index", 0))
			_add(entity, sides)


# How many nodes there are of each shown kind, counted in the tree.
func counts():
	var found = {}
	for kind in SHOWN:
		found[kind] = get_tree().get_nodes_in_group(kind).size()
	return found


func entity(index):
	return _entities.get(index)


func sectors():
	return get_tree().get_nodes_in_group("cell")


func walk_to(sim_time_s):
	for index in _walks:
		_ue_nodes[index].translation = _walks[index].at(sim_time_s)


# Where the phones' nodes are, as the wire has it: [indices, positions].
func positions():
	var indices = PoolIntArray(_ue_nodes.keys())
	var position_m = PoolRealArray()
	position_m.resize(3 * indices.size())
	var i = 0
	for index in indices:
		var place = _ue_nodes[index].translation
		position_m[i] = place.x
		position_m[i + 1] = -place.z
		position_m[i + 2] = place.y
		i += 3
	return [indices, position_m]


func phones():
	return _ue_nodes


func configuration():
	var attributes = []
	for sector in sectors():
		for name in Sector.ATTRIBUTES:
			var id = sector.get_meta("id")
			attributes.append({"entity_id": id, "attribute": name, "value": sector.read_attribute(name)})
	return attributes


func set_attribute(attribute):
	var sector = nodes.get(attribute.get("entity_id", ""))
	var value = attribute.get("value", {})
	if sector is Sector and Sector.objection(attribute.get("attribute", ""), value) == "":
		sector.set_attribute(attribute["attribute"], value)


func _add(row, sides):
	var kind = row.get("kind", "")
	_entities[row.get("index", 0)] = row
	if not kind in SHOWN:
		return
	var node = _node(row, kind, sides)
	node.set_meta("id", row["id"])
	node.set_meta("index", row.get("index", 0))
	node.add_to_group(kind)
	add_child(node)
	nodes[row["id"]] = node


func _node(row, kind, sides):
	var place = Frame.to_godot(row.get("position", {}))
	var properties = row.get("properties", {})
	var height_m = properties.get("height_m", {}).get("number", 0.0)
	match kind:
		"cell":
			var sector = Sector.new()
			sector.setup(shapes, row)
			sector.translation = place
			_configure(sector, row)
			return sector
		"site":
			var mast = _solid(shapes.mast, Color("4a4f57"))
			mast.scale.y = max(height_m, 1.0)
			mast.translation = place + Vector3(0.0, height_m / 2.0, 0.0)
			return mast
		"building":
			var colour = Shapes.LAND_USES.get(properties.get("land_use", {}).get("text", ""), Color("b8b8b8"))
			var side_m = sides.get(row["id"], LEAST_SIDE_M)
			var box = _solid(shapes.box, colour)
			box.scale = Vector3(side_m, max(height_m, 1.0), side_m)
			box.translation = place + Vector3(0.0, height_m / 2.0, 0.0)
			return box
		"ue":
			var person = _solid(shapes.person, Colours.NEUTRAL)
			person.rotation_degrees.x = 90.0  # Godot's capsule lies along z
			person.translation = place
			var mobility = properties.get("mobility", {}).get("text", "walk")
			_ue_nodes[row.get("index", 0)] = person
			_walks[row.get("index", 0)] = Walk.new(row["id"], place, mobility, SEED)
			return person
		_:
			var beacon = _solid(shapes.beacon, Color("f2c14e") if kind == "place" else Color("6b4fa0"))
			beacon.translation = place + Vector3(0.0, 40.0, 0.0)
			beacon.rotation_degrees.z = 180.0
			return beacon


func _solid(mesh, colour):
	var made = MeshInstance.new()
	made.mesh = mesh
	made.material_override = shapes.material(colour)
	return made


func _configure(sector, row):
	var attributes = row.get("attributes", {})
	for name in attributes:
		if Sector.objection(name, attributes[name]) == "":
			sector.set_attribute(name, attributes[name])


func _remove(index):
	var row = _entities.get(index)
	if row == null:
		return
	_entities.erase(index)
	_walks.erase(index)
	_ue_nodes.erase(index)
	if nodes.has(row["id"]):
		remove_child(nodes[row["id"]])
		nodes[row["id"]].queue_free()
		nodes.erase(row["id"])


# Side of each building's box: seven tenths of the distance to the next one. Neighbours are looked for in a coarse grid.
func _sides(entities):
	var grid = {}
	for row in entities:
		if row.get("kind", "") == "building":
			var place = Frame.to_godot(row.get("position", {}))
			var square = Vector2(floor(place.x / GRID_M), floor(place.z / GRID_M))
			grid[square] = grid.get(square, [])
			grid[square].append([row["id"], Vector2(place.x, place.z)])
	var sides = {}
	for square in grid:
		var near = []
		for step in range(9):
			near += grid.get(square + Vector2(step % 3 - 1, step / 3 - 1), [])
		for one in grid[square]:
			var next_m = GRID_M
			for other in near:
				if other[0] != one[0]:
					next_m = min(next_m, one[1].distance_to(other[1]))
			sides[one[0]] = clamp(0.7 * next_m, LEAST_SIDE_M, MOST_SIDE_M)
	return sides


func _lay_ground():
	var first = true
	for id in nodes:
		var spot = AABB(nodes[id].translation, Vector3.ZERO)
		extent = spot if first else extent.merge(spot)
		first = false
	extent = extent.grow(100.0)
	_ground.mesh.size = Vector2(extent.size.x, extent.size.z)
	_ground.translation = Vector3(extent.position.x + extent.size.x / 2.0, -0.2, extent.position.z + extent.size.z / 2.0)
