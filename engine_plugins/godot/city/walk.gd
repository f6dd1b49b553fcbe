# Where a phone walks: round a ring of corners around its start, the same for the same id and seed.
extends Reference

const CORNERS = 7
# mobility -> [speed m/s, least and most distance of a corner from the start in metres]
const MANNERS = {"walk": [1.4, 10.0, 30.0], "drive": [8.0, 30.0, 90.0], "still": [0.0, 0.0, 0.0]}

var _start = Vector3.ZERO
var _speed_mps = 0.0
var _corners = []
var _until_m = []  # way along the ring up to each corner
var _offset_m = 0.0


func _init(id, start, mobility, seed_):
	var manner = MANNERS.get(mobility, MANNERS["walk"])
	var random = RandomNumberGenerator.new()
	random.seed = hash([id, seed_])
	_start = start
	_speed_mps = manner[0]
	for i in range(CORNERS):
		var angle = TAU * (i + 0.7 * random.randf()) / CORNERS
		var away_m = random.randf_range(manner[1], manner[2])
		_corners.append(start + away_m * Vector3(cos(angle), 0.0, sin(angle)))
	var way_m = 0.0
	for i in range(CORNERS):
		way_m += _corners[i].distance_to(_corners[(i + 1) % CORNERS])
		_until_m.append(way_m)
	_offset_m = random.randf() * way_m


func at(sim_time_s):
	if _speed_mps == 0.0:
		return _start
	var way_m = fposmod(_offset_m + _speed_mps * sim_time_s, _until_m[-1])
	var i = 0
	while _until_m[i] < way_m:
		i += 1
	var before_m = _until_m[i - 1] if i else 0.0
	return _corners[i].linear_interpolate(_corners[(i + 1) % CORNERS], (way_m - before_m) / (_until_m[i] - before_m))
