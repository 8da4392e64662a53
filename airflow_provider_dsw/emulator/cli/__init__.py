"""The command ``dsw-emulator``: `serve` and `run`."""
