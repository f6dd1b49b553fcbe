# What the scene was started with: the inspector's values of the main node, then the environment, then the command line.
#
#   godot3 --path engine_plugins/godot --twin=ws://127.0.0.1:8600/bridge --scene=main
extends Reference

const WORDS = """--twin=ADDRESS  where the twin is, ws:// or wss://
--scene=ID  which scene this is
--token=TOKEN  who this is; better in the environment as TWIN_TOKEN, where other users cannot read it
--ca=FILE  certificate of the authority that signed the twin's (wss://)
--record=FILE  where answers to commands are kept; `none` keeps them in memory
--provide-kpi  compute and send network figures as well
--takeover  push out another client that holds the scene
--lasts=SECONDS  leave so many seconds after it got in"""

var address = "ws://127.0.0.1:8600/bridge"
var scene_id = "main"
var token = ""
var ca_file = ""
var record_file = ""
var provide_kpi = false
var takeover = false
var lasts_s = INF
# Words that look like options of this scene and are none.
var unknown = []


func read(words):
	token = OS.get_environment("TWIN_TOKEN") if token == "" else token
	for word in words:
		var pair = word.split("=", true, 1)
		var value = pair[1] if pair.size() > 1 else ""
		match pair[0]:
			"--twin":
				address = value
			"--scene":
				scene_id = value
			"--token":
				token = value
			"--ca":
				ca_file = value
			"--record":
				record_file = value
			"--provide-kpi":
				provide_kpi = true
			"--takeover":
				takeover = true
			"--lasts":
				lasts_s = float(value)
			_:
				if word.begins_with("--") and pair.size() > 1:
					unknown.append(word)
	if record_file == "":
		record_file = "user://commands-%s" % scene_id
	elif record_file == "none":
		record_file = ""
