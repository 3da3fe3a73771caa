"""FastAPI and Starlette in a component."""
