"""Connections to 64 outside services: how each authorises, connecting, keeping tokens alive, verifying, revoking."""
