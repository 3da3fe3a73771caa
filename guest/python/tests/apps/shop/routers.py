"""The shop's paths."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Body,
    Cookie,
    Depends,
    File,
    Form,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    UploadFile,
    status,
)
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, StreamingResponse

from shop.dependencies import Admin, Language, Paging, Store, User
from shop.models import Category, Item, Order, Page

items = APIRouter(prefix="/items", tags=["items"])
orders = APIRouter(prefix="/orders", tags=["orders"])
files = APIRouter(prefix="/files", tags=["files"])
other = APIRouter()


class OutOfStockError(Exception):
    """Handled by the app."""


@items.get("", response_model_exclude_defaults=True)
async def list_items(store: Store, paging: Annotated[Paging, Depends()], category: Category | None = None) -> Page:
    """Lists what can be bought."""
    chosen = [item for item in store if category in (None, item.category)][paging.start : paging.start + paging.limit]
    end = paging.start + paging.limit
    return Page(items=chosen, next=end if end < len(store) else None)


@items.get("/{number}", responses={404: {"description": "There is none."}})
def get_item(store: Store, number: Annotated[int, Path(ge=0, title="Its number")], language: Language) -> dict[str, Any]:
    if number >= len(store):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no item {number}", {"X-Language": language})
    if number == 6:
        raise OutOfStockError(store[number].name)
    return {"item": store[number], "language": language}


@items.put("/{number}", status_code=201)
async def put_item(number: int, item: Item, importance: Annotated[int, Body(gt=0)], response: Response) -> Item:
    response.headers["Location"] = f"/items/{number}"
    response.set_cookie("importance", str(importance), httponly=True, max_age=60)
    response.set_cookie("last", "yes")
    return item


@items.delete("/{number}", status_code=204)
async def delete_item(number: int, _: Admin) -> None: ...


@orders.post("", response_model_by_alias=True, summary="Place an order")
async def place_order(order: Order, user: User) -> dict[str, Any]:
    return {"order": order, "user": user}


@orders.get("/mine", deprecated=True)
async def my_orders(user: User, seen: Annotated[str | None, Cookie()] = None) -> list[str | None]:
    return [user, seen]


@files.post("/form")
async def form(name: Annotated[str, Form()], amount: Annotated[int, Form(ge=1)] = 1) -> dict[str, str | int]:
    return {"name": name, "amount": amount}


@files.post("/upload")
async def upload(upload: UploadFile, note: Annotated[str, Form()], more: Annotated[bytes | None, File()] = None) -> Any:
    content = await upload.read()
    return {
        "name": upload.filename,
        "type": upload.content_type,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "note": note,
        "more": base64.b64encode(more or b""),
    }


@files.get("/numbers")
async def numbers(up_to: int = 5) -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(up_to):
            await asyncio.sleep(0)
            yield b"%d\n" % number

    return StreamingResponse(lines(), media_type="text/csv", headers={"X-Up-To": str(up_to)})


@files.get("/letters")
def letters() -> StreamingResponse:
    def lines() -> Iterator[str]:
        yield from "äöü"

    return StreamingResponse(lines(), 203)


@files.post("/echo")
async def echo(request: Request) -> Response:
    body = b"".join([part async for part in request.stream()])
    return Response(body[::-1], media_type=request.headers.get("content-type"))


@other.get("/", response_class=HTMLResponse, include_in_schema=False)
async def home(request: Request) -> str:
    return f"<h1>Shop at {request.url.path}</h1>"


@other.get("/text", response_class=PlainTextResponse)
async def text() -> str:
    return "x" * 5000


@other.get("/old")
async def old(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("home"), 308)


@other.get("/divide/{by}")
async def divide(by: int) -> float:
    return 1 / by


@other.get("/invalid", response_model=Item)
async def invalid() -> Any:
    """An answer that does not fit its model is a mistake of the server."""
    return {"name": ""}


@other.get("/query")
async def query(request: Request, q: Annotated[list[str] | None, Query()] = None, flag: bool = False) -> dict[str, Any]:
    return {"all": request.query_params.multi_items(), "flag": flag, "path": request.scope["path"], "q": q}


@other.get("/method")
@other.patch("/method")
async def method(request: Request) -> str:
    return request.method
