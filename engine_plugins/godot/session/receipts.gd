# Numbers of the twin's lossless messages: which arrived, and up to which all were dealt with.
extends Reference

enum Verdict { FRESH, REPEATED, GAP }

# All up to it were dealt with.
var done = 0

var _arrived = 0
var _early = {}  # dealt with before an earlier one was


# Numbers begin at 1 again.
func begin():
	done = 0
	_arrived = 0
	_early.clear()


# The twin sends again what comes after `done`.
func resume():
	_arrived = done


# REPEATED: dealt with already, on an earlier connection.
func arrived(seq):
	if seq != _arrived + 1:
		return Verdict.GAP
	_arrived = seq
	return Verdict.REPEATED if _early.has(seq) else Verdict.FRESH


func expected():
	return _arrived + 1


# Marks a message as dealt with; returns up to which number all are.
func finish(seq):
	if seq > done:
		_early[seq] = true
	while _early.erase(done + 1):
		done += 1
	return done
