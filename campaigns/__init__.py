"""Trying to break it, for as long as asked: `python -m campaigns.NAME`; `make` has a target for each."""
