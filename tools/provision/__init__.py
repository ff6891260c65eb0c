"""The steps of the project's set-up, one module each; ``tools/setup.py`` runs them.

``root`` makes whole roots, for ``tools/platforms.py``. Standard library only: they run before
anything is installed.
"""
