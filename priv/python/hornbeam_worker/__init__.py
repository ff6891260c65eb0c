"""Hornbeam's worker: runs one Python application behind a port of the BEAM."""
