"""Turnout on an engineer's machine: configuration, command line and the local cloud."""

__version__ = "0.1.0"
