"""Watching figures: detectors today; incidents, causes and forecasts later."""
