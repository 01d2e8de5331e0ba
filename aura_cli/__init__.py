"""`aura`, the operators' command line of AURA."""

__version__ = "0.1.0"
