"""The steps of the project's set-up, one module each; ``tools/setup.py`` runs them.

Standard library only: they run before anything is installed.
"""
