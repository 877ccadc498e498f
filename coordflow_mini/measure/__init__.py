"""Measurement: metrics, results, rate-distortion curves, other codecs."""
