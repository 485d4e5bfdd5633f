"""Reports: one HTML page that loads nothing, with figures drawn as SVG and a table behind each."""
