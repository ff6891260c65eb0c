"""Starlette's StaticFiles on the folder that BENCH_FOLDER names."""

import os

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

files = StaticFiles(directory=os.environ["BENCH_FOLDER"], html=True)
app = Starlette(routes=[Mount("/", files)])
