"""Passes one request to the app, and passes the app's response to the host."""

import asyncio
import traceback
from collections.abc import Coroutine
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from componentize_py_types import Err, Ok

from epilogue import _calls, _fields, _host, _loop, _waiting, bindings
from epilogue._errors import EnqueueError
from epilogue.bindings.imports import wasi_http_types as http

current: ContextVar["Exchange | None"] = ContextVar("epilogue_exchange", default=None)
"""The `Exchange` of the request that the running code serves."""

_CHUNK = 64 * 1024

_unit_future = bindings.result_unit_wasi_http_types_error_code_future
_trailers_future = bindings.result_option_wasi_http_types_fields_wasi_http_types_error_code_future


class Exchange:
    """One request and its response: reads the request's body for the app, and sends the app's response to the host.

    The exchange does not send the last part of the response before the app has ended or has added its background tasks.
    So if the host refuses a task, the client still gets an error response. The host stores a durable task before the
    response ends.
    """

    def __init__(self, request: Any) -> None:
        self.call = _calls.current()
        self.response: asyncio.Future[Any] = _calls.loop.create_future()
        # Whether the app has sent its whole response, or the client has left.
        self.is_complete = False
        self._request = request
        self._body: Any = None
        # The future whose result says whether the client has sent the whole body.
        self._ended: Any = None
        self._reading: asyncio.Task[bytes | None] | None = None
        self._is_read = False
        self._start: dict[str, Any] | None = None
        self._last = b""
        self._missing: int | None = None
        self._is_gone = False
        # Whether the host has refused the response, for example because of a header's value.
        self._is_refused = False
        self._writer: Any = None
        self._writing: asyncio.Task[int] | None = None
        self._trailers: Any = None
        self._sent: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def run(self, app: Any, scope: dict[str, Any]) -> None:
        """Calls the app."""
        current.set(self)
        try:
            await app(scope, self.receive, self.send)
            if not self.is_complete:
                raise RuntimeError("the app ended without a complete response")
            self.release()
        except BaseException as error:
            self._fail(error)
        finally:
            self._drop_request()

    async def receive(self) -> dict[str, Any]:
        """The app's `receive`."""
        if not self._is_read:
            data = await self._read()
            self._is_read = self._body.writer_dropped
            if data is not None:
                return {"type": "http.request", "body": data, "more_body": not self._is_read}
            self._over.set()
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """The app's `send`."""
        kind = message["type"]
        if self._is_gone:
            # The app learns from `receive` that the client has left, as with uvicorn.
            await asyncio.sleep(0)
        elif kind == "http.response.start" and self._start is None:
            self._start = message
            length = dict(message.get("headers", ())).get(b"content-length", b"")
            self._missing = int(length) if length.isdigit() else None
        elif kind == "http.response.body" and self._start is not None and not self.is_complete:
            await self._send_body(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"the app sent the ASGI message {kind!r} out of order")

    async def _send_body(self, data: bytes, more: bool) -> None:
        self._last += data
        if self._missing is not None:
            self._missing -= len(data)
        self.is_complete = not more
        # Starlette's middleware sends also a body of a known length as a stream. If all bytes have come, the stream has
        # ended, although the last message of the app is still missing.
        if more and self._missing != 0:
            if self._writer is None:
                # If the client has left, a composed component does not wait for the app here. The teardown waits for
                # the app.
                _host.queue.needs_teardown()
                self._begin(has_body=True)
            data, self._last = self._last, b""
            if data:
                await self._write(data)

    def release(self) -> asyncio.Task[None]:
        """Sends the last part of the response. The returned asyncio task ends when the host has taken the whole
        response."""
        if self._sent is None:
            if self._writer is None:
                self._begin(has_body=bool(self._last))
            self._sent = self._spawn(self._finish(Ok(None)))
        return self._sent

    async def _read(self) -> bytes | None:
        if self._body is None:
            accepted, reader = _unit_future(_ok)
            self._body, self._ended = http.Request.consume_body(self._request, reader)
            self._spawn(accepted.write(Ok(None)))
        if self._reading is None:
            # The handler's call does not wait for this read, because a client may never send the rest of its body.
            self._reading = self._spawn(self._read_part(), waited_for=False)
        # If the app stops waiting, as `request.is_disconnected()` does, the read goes on. The app's next call of
        # `receive` then returns the data.
        data = await asyncio.shield(self._reading)
        self._reading = None
        return data

    async def _read_part(self) -> bytes | None:
        """Reads the next part of the request's body. Returns None if the body ended early."""
        data: bytes = await self._body.read(_CHUNK)
        if self._body.writer_dropped and self._ended is not None:
            ended, self._ended = self._ended, None
            if isinstance(await ended.read(), Err):
                return None
        return data

    async def _write(self, data: bytes) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
        if not self._writer.reader_dropped:
            # This code cannot cancel a write at the host, so the write goes on if the app stops waiting.
            self._writing = self._spawn(self._writer.write_all(data))
            await asyncio.shield(self._writing)
            self._writing = None
        if self._writer.reader_dropped:
            self._is_gone = self.is_complete = True
            self._over.set()

    def _begin(self, has_body: bool) -> None:
        """Passes the response's status and headers to the host. If the host refuses them, the handler fails."""
        try:
            self._hand_over(has_body)
        except Exception as error:
            self._is_refused = True
            self.response.set_exception(error)
            raise

    def _hand_over(self, has_body: bool) -> None:
        start = self._start or {}
        try:
            fields = _fields.to_wit(start.get("headers", ()))
        except Err as error:
            raise RuntimeError(f"the host refused the response headers: {error.value}") from None
        reader = None
        if has_body:
            self._writer, reader = bindings.byte_stream()
        self._trailers, trailers = _trailers_future(_ok)
        response, sent = http.Response.new(fields, reader, trailers)
        sent.__exit__(None, None, None)
        if start["status"] != 200:
            response.set_status_code(start["status"])
        self.response.set_result(response)

    async def _finish(self, result: Any) -> None:
        """Writes the last part of the response body, and ends the body. If `result` is an error, the host aborts the
        response."""
        if self._writer is not None:
            if self._last:
                await self._write(self._last)
            elif self._writing is not None:
                await self._writing
            self._writer.__exit__(None, None, None)
        await self._trailers.write(result)
        self._over.set()

    def _fail(self, error: BaseException) -> None:
        """Ends the response after the app has raised an exception."""
        if self._is_refused:
            return
        if isinstance(error, EnqueueError):
            self.refuse(error)
        if self.is_complete:
            # The app has sent a response and then raised an exception, as Starlette's ServerErrorMiddleware does.
            if not _waiting.has_raised(error):
                traceback.print_exception(error)
            self.release()
        elif not self.response.done():
            self.response.set_exception(error)
        else:
            traceback.print_exception(error)
            self._break_off(error)

    def _break_off(self, error: BaseException) -> None:
        if self._sent is None:
            self._sent = self._spawn(self._finish(Err(http.ErrorCode_InternalError(_calls.describe(error)))))

    def refuse(self, error: Exception) -> None:
        """Replaces the response with an error response, because the host has refused a task. If the host has already
        begun to send the response, aborts the response instead."""
        if self.response.done():
            self._break_off(error)
            return
        status = error.status if isinstance(error, EnqueueError) else HTTPStatus.INTERNAL_SERVER_ERROR
        text = HTTPStatus(status).phrase.encode()
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"1"))
        self._start = {"status": int(status), "headers": headers}
        self.is_complete, self._last = True, text

    def _drop_request(self) -> None:
        if self._body is None:
            self._request.__exit__(None, None, None)
        elif self._reading is None:
            self._body.__exit__(None, None, None)
        else:
            # This code cannot drop the stream while a read is running.
            self._body.finalizer.detach()
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended.__exit__(None, None, None)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any], *, waited_for: bool = True) -> asyncio.Task[Any]:
        """Starts a coroutine, and returns its asyncio task. If `waited_for` is true, the current call ends only after
        the coroutine."""
        with _loop.owned_by(self.call if waited_for else None):
            return _loop.hide(asyncio.create_task(coroutine, eager_start=True))  # type: ignore[call-arg]


def _ok() -> Any:
    return Ok(None)
