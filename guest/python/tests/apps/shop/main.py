"""The shop's app."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse

from shop.routers import OutOfStockError, files, items, orders, other


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    app.state.opened = "yes"
    yield {"motto": "open"}


app = FastAPI(title="Shop", version="1.2.3", description="Sells *things*.", lifespan=lifespan, contact={"name": "Ada"})
for router in (items, orders, files, other):
    app.include_router(router)

app.add_middleware(GZipMiddleware, minimum_size=1000)
app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"], allow_methods=["*"], allow_credentials=True)


@app.middleware("http")
async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.by = "stamp"
    response = await call_next(request)
    response.headers["X-Stamp"] = f"{request.state.by} {request.state.motto} {app.state.opened}"
    return response


@app.exception_handler(OutOfStockError)
async def out_of_stock(_: Request, error: OutOfStockError) -> JSONResponse:
    return JSONResponse({"sold out": str(error)}, 409)


@app.exception_handler(ZeroDivisionError)
async def division(request: Request, error: ZeroDivisionError) -> JSONResponse:
    return JSONResponse({"cannot": str(error), "path": request.url.path}, 400)


@app.exception_handler(ResponseValidationError)
async def bad_answer(_: Request, error: ResponseValidationError) -> JSONResponse:
    return JSONResponse({"errors": [e["type"] for e in error.errors()]}, 500)


@app.exception_handler(RequestValidationError)
async def bad_request(_: Request, error: RequestValidationError) -> JSONResponse:
    return JSONResponse({"errors": [{"type": e["type"], "loc": e["loc"], "msg": e["msg"]} for e in error.errors()]}, 422)
