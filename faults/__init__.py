"""Kills at random moments and generated bad files, and the page that says what survived."""
