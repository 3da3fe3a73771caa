"""Sends the requests of httpx, and of its successor httpx2, through the host's `wasi:http/client`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from componentize_py_types import Err, Ok

from epilogue import _calls, _fields, _host, _loop, bindings
from epilogue._options import nanoseconds
from epilogue._outgoing_errors import exception, library
from epilogue.bindings.imports import client
from epilogue.bindings.imports import wasi_http_types as http

if TYPE_CHECKING:
    import httpx

_T = TypeVar("_T")
_CHUNK = 64 * 1024

_unit_future = bindings.result_unit_wasi_http_types_error_code_future
_trailers_future = bindings.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
_METHODS = {
    name.upper(): getattr(http, f"Method_{name}")
    for name in ("Get", "Head", "Post", "Put", "Delete", "Connect", "Options", "Trace", "Patch")
}


async def send(request: httpx.Request) -> httpx.Response:
    """Sends a request, and returns the response before its body has been read."""
    if not _host.is_there:
        raise library(request).ConnectError("there is no host in the build that could send requests", request=request)
    length = request.headers.get("content-length", "0")
    is_long = "transfer-encoding" in request.headers or int(length) > _CHUNK
    body = _RequestBody(request) if is_long or length != "0" else None
    outgoing, trailers = _outgoing(request, body, is_long)
    if body is None:
        _spawn(trailers.write(Ok(None)))
        return await _answer(request, client.send(outgoing))
    answer, sent = _spawn(_answer(request, client.send(outgoing))), _spawn(body.send(trailers))
    try:
        return await _wait_for(request, answer, sent, _timeout(request, "read") if is_long else None)
    finally:
        # If the server has answered, it may still read the rest of the body. If the server has not answered, nobody
        # waits for the response any more, so the host must not send the rest of the body.
        if not answer.done():
            answer.cancel()
            sent.cancel()
        sent.add_done_callback(_ignore_exception)


async def _wait_for(
    request: httpx.Request, answer: asyncio.Task[httpx.Response], sent: asyncio.Task[None], seconds: float | None
) -> httpx.Response:
    """Waits for the server's response, which may come before the whole request has been sent."""
    await asyncio.wait((answer, sent), return_when=asyncio.FIRST_COMPLETED)
    if not answer.done():
        # If the app's iterator has raised an exception, this line raises it again.
        await sent
        await asyncio.wait((answer,), timeout=seconds)
        if not answer.done():
            raise library(request).ReadTimeout(f"no response within {seconds} s", request=request)
    return await answer


def _outgoing(request: httpx.Request, body: _RequestBody | None, is_long: bool) -> tuple[Any, Any]:
    """Makes the request that the host sends. Returns the request, and the writer for the request's trailers."""
    try:
        fields = _fields.to_wit(request.headers.raw)
    except Err as error:
        raise library(request).LocalProtocolError(
            f"the host refused the request headers: {error.value}", request=request
        ) from None
    options = http.RequestOptions()
    connect, read = _timeout(request, "connect"), _timeout(request, "read")
    if connect is not None:
        options.set_connect_timeout(nanoseconds(connect))
    if read is not None:
        options.set_between_bytes_timeout(nanoseconds(read))
        if not is_long:
            # If the body is long, httpx's timeout begins when the body has been sent. The host's timeout for the first
            # byte would begin when the connection is open, so this code does not set it.
            options.set_first_byte_timeout(nanoseconds(read))
    trailers, read_trailers = _trailers_future(_ok)
    outgoing, sent = http.Request.new(fields, body and body.reader, read_trailers, options)
    sent.__exit__(None, None, None)
    method = _METHODS.get(request.method)
    outgoing.set_method(method() if method else http.Method_Other(request.method))
    outgoing.set_scheme(http.Scheme_Https() if request.url.scheme == "https" else http.Scheme_Http())
    outgoing.set_authority(request.url.netloc.decode())
    outgoing.set_path_with_query(request.url.raw_path.decode())
    return outgoing, trailers


async def _answer(request: httpx.Request, sending: Coroutine[Any, Any, Any]) -> httpx.Response:
    try:
        incoming = await sending
    except Err as error:
        raise exception(error.value, request) from None
    status, headers = incoming.get_status_code(), _fields.from_wit(incoming)
    accepted, reader = _unit_future(_ok)
    body, ended = http.Response.consume_body(incoming, reader)
    _spawn(accepted.write(Ok(None)))
    stream = _stream_class(library(request).AsyncByteStream)(request, body, ended)
    response: httpx.Response = library(request).Response(status, headers=headers, stream=stream)
    return response


class _RequestBody:
    """Writes the body of a request of httpx to the host."""

    def __init__(self, request: httpx.Request) -> None:
        self._request = request
        self._writer, self.reader = bindings.byte_stream()

    async def send(self, trailers: Any) -> None:
        """Writes the whole body. If the app's iterator raises, the host aborts the request."""
        result: Any = Err(http.ErrorCode_InternalError("the request's body broke off"))
        try:
            stream: Any = self._request.stream
            async for part in stream:
                await self._write(part)
                if self._writer.reader_dropped:
                    break
            result = Ok(None)
        finally:
            self._writer.__exit__(None, None, None)
            _spawn(trailers.write(result))

    async def _write(self, part: bytes) -> None:
        if not part:
            return
        timeout = _timeout(self._request, "write")
        # This code cannot cancel a write at the host, so the write goes on after the timeout.
        writing = _spawn(self._writer.write_all(part))
        await asyncio.wait((writing,), timeout=timeout)
        if not writing.done():
            raise library(self._request).WriteTimeout(f"the server read nothing for {timeout} s", request=self._request)


class _ResponseBody:
    """Reads the body of a response from the host."""

    def __init__(self, request: httpx.Request, body: Any, ended: Any) -> None:
        self._request, self._body, self._ended = request, body, ended

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._body.writer_dropped:
            data: bytes = await self._body.read(_CHUNK)
            if data:
                yield data
        result = await self._ended.read()
        if isinstance(result, Err):
            raise exception(result.value, self._request)

    async def aclose(self) -> None:
        self._body.__exit__(None, None, None)
        self._ended.__exit__(None, None, None)


@functools.cache
def _stream_class(base: type) -> type:
    """Returns the class for the bodies of responses. The class is a subclass of httpx's or httpx2's class `base`."""
    return type("ResponseBody", (_ResponseBody, base), {})


def _timeout(request: httpx.Request, name: str) -> float | None:
    seconds: float | None = request.extensions.get("timeout", {}).get(name)
    return seconds


def _spawn(coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
    """Starts a coroutine, and returns its asyncio task. The current call can end before the coroutine."""
    with _loop.owned_by(None):
        return _loop.hide(_calls.loop.create_task(coroutine))


def _ignore_exception(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _ok() -> Any:
    return Ok(None)
