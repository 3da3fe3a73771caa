"""The guest `tests/guests/examples/bench.rs`, written for FastAPI. When a worker process ends, it prints how many tasks
the requests added and how many tasks ran."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse

asked = ran = 0


@asynccontextmanager
async def lifespan(app):
    yield
    print(f"asked {asked} ran {ran}", flush=True)


app = FastAPI(lifespan=lifespan)


async def count(sleep: int, burn: int):
    global ran
    if sleep:
        await asyncio.sleep(sleep / 1000)
    compute(burn)
    ran += 1


def compute(rounds: int):
    state = 1
    for i in range(rounds):
        state = (state * 31 + i) & 0xFFFF_FFFF


@app.get("/", response_class=PlainTextResponse)
async def answer(background: BackgroundTasks, tasks: int = 0, sleep: int = 0, burn: int = 0, work: int = 0):
    global asked
    asked += tasks
    for _ in range(tasks):
        background.add_task(count, sleep, burn)
    compute(work)
    return "ok"
