"""
The fault matrix: every fault that the emulator knows, at every call that the client makes, in every way to wait.

``python -m tests.system.faults`` runs all of it and prints what came of it.
"""
