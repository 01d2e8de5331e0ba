"""Local, stateful stand-ins of the outside services, for people who develop against them."""
