# One WebSocket after the other to the same address: connects, tells what arrives, and comes back with growing pauses.
extends Reference

const FIRST_PAUSE_S = 0.25
const LONGEST_PAUSE_LOOPBACK_S = 2.0
const LONGEST_PAUSE_S = 30.0
const BUFFER_KB = 8192
const MOST_PACKETS = 2048

signal established
signal arrived(bytes)
# The connection is over, or never came; the reason in plain words.
signal lost(reason)

var url = ""
var ca_file = ""
# Why the connection ends, when it is known before it does.
var why = ""

var _socket = null
var _pause_s = FIRST_PAUSE_S
var _random = RandomNumberGenerator.new()


func _init():
	_random.randomize()


# Returns why it cannot even be tried, or "".
func open():
	why = ""
	_socket = WebSocketClient.new()
	_socket.set_buffers(BUFFER_KB, MOST_PACKETS, BUFFER_KB, MOST_PACKETS)
	if ca_file != "":
		var certificate = X509Certificate.new()
		if certificate.load(ca_file) != OK:
			return "the certificate `%s` cannot be read" % ca_file
		_socket.set_trusted_ssl_certificate(certificate)
	_socket.connect("connection_established", self, "_on_established")
	_socket.connect("connection_error", self, "_on_error")
	_socket.connect("connection_closed", self, "_on_closed")
	_socket.connect("server_close_request", self, "_on_close_request")
	_socket.connect("data_received", self, "_on_data")
	return "" if _socket.connect_to_url(url) == OK else "`%s` is no address; use ws://HOST:PORT/bridge" % url


func poll():
	var socket = _socket  # held here: what arrives may end the connection
	if socket != null:
		socket.poll()


func send(bytes):
	return _socket != null and _socket.get_peer(1).put_packet(bytes) == OK


# Ends the connection from this side; `lost` follows at once.
func close(reason):
	var over = _socket
	_socket = null
	over.disconnect_from_host(1002, reason.substr(0, 100))
	emit_signal("lost", reason)


# How long to wait before the next attempt: a random share, so that many clients do not come back at once.
func next_pause_s():
	var share_s = _random.randf() * _pause_s
	_pause_s = min(2.0 * _pause_s, LONGEST_PAUSE_LOOPBACK_S if _is_loopback() else LONGEST_PAUSE_S)
	return share_s


# The last connection was a good one.
func succeeded():
	_pause_s = FIRST_PAUSE_S


func _is_loopback():
	var host = url.split("://")[-1]
	return host.begins_with("127.") or host.begins_with("localhost") or host.begins_with("[::1]")


func _on_established(_protocol):
	_socket.get_peer(1).set_write_mode(WebSocketPeer.WRITE_MODE_BINARY)
	emit_signal("established")


func _on_data():
	if _socket != null:
		emit_signal("arrived", _socket.get_peer(1).get_packet())


func _on_error():
	_end("nobody answers at %s" % url)


func _on_close_request(code, reason):
	if why == "":
		why = reason if reason != "" else "the twin closed with code %d" % code


func _on_closed(_clean):
	_end(why if why != "" else "the connection was cut")


func _end(reason):
	if _socket != null:
		_socket = null
		emit_signal("lost", reason)
