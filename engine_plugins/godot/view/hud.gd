# On the screen: how the connection is, how many of each there are, and what the colours mean.
extends CanvasLayer

const Colours = preload("res://city/colours.gd")
const Session = preload("res://session/bridge_client.gd")

const STATES = {
	Session.State.IDLE: ["not connected", Color.gray],
	Session.State.CONNECTING: ["connecting to", Color.yellow],
	Session.State.GREETING: ["saying hello to", Color.yellow],
	Session.State.LOADING: ["loading the city", Color.yellow],
	Session.State.OPEN: ["connected", Color.lightgreen],
	Session.State.WAITING: ["lost, trying again:", Color.orange],
	Session.State.STOPPED: ["stopped:", Color.tomato],
}

var _state = Label.new()
var _facts = Label.new()
var _people = Label.new()
var _rows = VBoxContainer.new()


func _ready():
	var panel = PanelContainer.new()
	panel.rect_position = Vector2(12, 12)
	add_child(panel)
	panel.add_child(_rows)
	for label in [_state, _facts, _people]:
		_rows.add_child(label)
	_people.visible = false
	_legend("cell: no figure yet", [Color("338cf2")])
	_legend("cell: locked", [Color("737373")])
	_legend("site, place, router", [Color("4a4f57"), Color("f2c14e"), Color("6b4fa0")])
	_legend("RF.serving.RSRP of phones, RRU.PrbTotDl of cells: bad to good", _ramp())


func show_state(state, detail):
	_state.text = "%s %s" % [STATES[state][0], detail]
	_state.add_color_override("font_color", STATES[state][1])


func show_facts(counts, revision):
	var words = PoolStringArray()
	for kind in counts:
		words.append("%d %s" % [counts[kind], kind])
	_facts.text = "%s; revision %d" % [words.join(", "), revision]


# Names of others are text to show, never to obey.
func show_people(names):
	_people.visible = names.size() > 0
	_people.text = "here: " + PoolStringArray(names).join(", ")


func _ramp():
	var colours = []
	for step in range(Colours.STEPS):
		colours.append(Colours.ramp(float(step) / (Colours.STEPS - 1)))
	return colours


func _legend(text, colours):
	var row = HBoxContainer.new()
	for colour in colours:
		var swatch = ColorRect.new()
		swatch.color = colour
		swatch.rect_min_size = Vector2(14, 14)
		row.add_child(swatch)
	var label = Label.new()
	label.text = text
	row.add_child(label)
	_rows.add_child(row)
