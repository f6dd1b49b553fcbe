# The wire's frame (east, north, up; metres) and Godot's (east, up, south): both right-handed, so rotations stay.
extends Reference


static func to_godot(position):
	return Vector3(position.get("east_m", 0.0), position.get("up_m", 0.0), -position.get("north_m", 0.0))


static func to_wire(point):
	return {"east_m": point.x, "north_m": -point.z, "up_m": point.y}


# Unit vector of a direction: clockwise from north, positive down.
static func direction(azimuth_deg, down_deg):
	var azimuth = deg2rad(azimuth_deg)
	var down = deg2rad(down_deg)
	return Vector3(sin(azimuth) * cos(down), -sin(down), -cos(azimuth) * cos(down))


# Quaternion x, y, z, w in the wire's frame of a camera, which looks along its own +x there and along -z here.
static func camera_rotation(basis):
	var ahead = _enu(-basis.z)
	var up = _enu(basis.y)
	var quat = Quat(Basis(ahead, up.cross(ahead), up))
	return [quat.x, quat.y, quat.z, quat.w]


# Quaternion of the wire as a rotation here.
static func rotation(numbers):
	if numbers.size() != 4:
		return Quat()
	return Quat(numbers[0], numbers[2], -numbers[1], numbers[3]).normalized()


static func _enu(vector):
	return Vector3(vector.x, -vector.z, vector.y)
