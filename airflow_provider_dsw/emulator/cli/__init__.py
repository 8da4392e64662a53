"""The command ``dsw-emulator``: `serve`, `run` and `standalone`."""
