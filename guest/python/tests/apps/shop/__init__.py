"""A shop: an app of some size, whose answers are the same in a component and under uvicorn."""

from shop.main import app as app
