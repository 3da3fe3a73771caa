"""What the shop's handlers depend on."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import Depends, Header, HTTPException, Query
from fastapi.security import HTTPBasic, HTTPBasicCredentials, OAuth2PasswordBearer

from shop.models import Item

ITEMS = [Item.model_validate({"name": f"Item {n}", "price": f"{n}.25"}) for n in range(1, 8)]

bearer = OAuth2PasswordBearer(tokenUrl="token")
basic = HTTPBasic()


class Paging:
    """The part of a list that the client asks for."""

    def __init__(self, start: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=5)] = 3) -> None:
        self.start = start
        self.limit = limit


async def store() -> AsyncIterator[list[Item]]:
    yield list(ITEMS)


def user(token: Annotated[str, Depends(bearer)]) -> Iterator[str]:
    if token != "secret":  # noqa: S105
        raise HTTPException(401, "wrong token", {"WWW-Authenticate": "Bearer"})
    yield "ada"


def admin(credentials: Annotated[HTTPBasicCredentials, Depends(basic)]) -> str:
    if credentials.username != "root":
        raise HTTPException(403, {"user": credentials.username})
    return credentials.username


def language(accept_language: Annotated[str | None, Header()] = None) -> str:
    return (accept_language or "en").split(",")[0]


Store = Annotated[list[Item], Depends(store)]
User = Annotated[str, Depends(user)]
Admin = Annotated[str, Depends(admin)]
Language = Annotated[str, Depends(language)]
