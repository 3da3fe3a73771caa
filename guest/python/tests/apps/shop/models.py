"""What the shop's clients send and get."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator, model_validator


class Category(enum.StrEnum):
    BOOK = "book"
    RECORD = "record"


class Item(BaseModel):
    """Something to buy."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "Emma", "price": "9.50"}})

    name: Annotated[str, Field(min_length=1, max_length=40)]
    price: Annotated[Decimal, Field(gt=0, decimal_places=2)]
    category: Category = Category.BOOK
    tags: set[str] = set()

    @field_validator("name")
    @classmethod
    def has_no_tab(cls, name: str) -> str:
        if "\t" in name:
            raise ValueError("a name has no tab")
        return name.strip()


class Card(BaseModel):
    kind: Literal["card"]
    number: Annotated[str, Field(pattern=r"^\d{4}$")]


class Invoice(BaseModel):
    kind: Literal["invoice"]
    address: str


class Order(BaseModel):
    id: uuid.UUID = uuid.UUID(int=7)
    placed: dt.datetime = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    items: Annotated[list[Item], Field(min_length=1)]
    payment: Annotated[Card | Invoice, Field(discriminator="kind")]
    wrapped: bool = Field(False, alias="giftWrapped")

    @model_validator(mode="after")
    def is_affordable(self) -> "Order":
        if self.total > 1000:
            raise ValueError("too expensive")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Decimal:
        return sum((item.price for item in self.items), Decimal(0))


class Page(BaseModel):
    """A part of a list."""

    items: list[Item]
    next: int | None = None
