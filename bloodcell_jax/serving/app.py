"""The addresses of the page and what answers them."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
import secrets
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from starlette import applications, concurrency, requests, responses, routing

from bloodcell_jax.data.images import rgb
from bloodcell_jax.inference import megapixels
from bloodcell_jax.serving import (
  adaptation,
  answers,
  exported_file,
  guard,
  photograph_file,
  session_list,
  start_page,
  uploaded_name,
  worker,
)
from bloodcell_jax.serving import session as session_lib

TOKEN = 'x-bloodcell-token'
_DECODED_AT_ONCE = 2
_FULL = 'Too many people are using this page. Try again later.\n'


class App:
  """The page, as an ASGI application.

  Args:
    sessions: of all browsers.
    adapting: the command `adapt`.
    port: of the server, which its cookie and its names have.
  """

  def __init__(self, sessions: session_list.SessionList, adapting: adaptation.Adaptation, port: int):
    self._sessions, self._adapting = sessions, adapting
    self._analysis, self._limits = sessions.analysis, sessions.limits
    # A browser sends cookies to every port of a computer.
    self._cookie = f'bloodcell_{port}'
    self._decoding: anyio.CapacityLimiter | None = None
    change, read = self._changing, self._reading
    self.app = guard.Guard(
      applications.Starlette(
        routes=[
          routing.Route('/', self._start),
          routing.Route('/static/{name}', self._static),
          routing.Route('/state', read(self._state)),
          routing.Route('/names', change(self._names), methods=['POST']),
          routing.Route('/photographs', change(self._upload), methods=['POST']),
          routing.Route('/photographs/{id}/{size}.jpg', read(self._picture)),
          routing.Route('/cells/{id}/{number:int}.jpg', read(self._cell)),
          routing.Route('/cells/{id}/{number:int}-heat.png', read(self._heat)),
          routing.Route('/labels', change(self._label), methods=['POST']),
          routing.Route('/problems/hide', change(self._hide), methods=['POST']),
          routing.Route('/export/{name}', read(self._export)),
          routing.Route('/adapt', read(self._adapt_state)),
          routing.Route('/adapt', change(self._adapt), methods=['POST']),
          routing.Route('/adapt/stop', change(self._adapt_stop), methods=['POST']),
          routing.Route('/delete', change(self._delete), methods=['POST']),
        ],
        exception_handlers={session_lib.Refused: answers.refused, answers.Gone: answers.gone},
      ),
      (f'127.0.0.1:{port}', f'localhost:{port}', *(('127.0.0.1', 'localhost') if port == 80 else ())),
    )

  def _reading(self, answer: Callable[..., Awaitable[responses.Response]]) -> Any:
    """Answers requests of a session."""

    async def endpoint(request: requests.Request) -> responses.Response:
      session = self._sessions.find(self._secret(request))
      if session is None:
        raise answers.Gone
      return await answer(request, session)

    return endpoint

  def _changing(self, answer: Callable[..., Awaitable[responses.Response]]) -> Any:
    """Answers requests of a session that bring its token."""

    async def checked(request: requests.Request, session: session_lib.Session) -> responses.Response:
      if not secrets.compare_digest(request.headers.get(TOKEN, '').encode(), session.token.encode()):
        return responses.JSONResponse({'problem': answers.AGAIN}, 403)
      return await answer(request, session)

    return self._reading(checked)

  def _secret(self, request: requests.Request) -> str:
    return request.cookies.get(self._cookie, '')

  async def _start(self, request: requests.Request) -> responses.Response:
    session = self._sessions.find(self._secret(request))
    secret = ''
    if session is None:
      begun = self._sessions.begin()
      if begun is None:
        return responses.PlainTextResponse(_FULL, 503)
      secret, session = begun
    text = start_page.render(self._analysis, self._limits, session.token)
    answer = responses.HTMLResponse(text)
    if secret:
      answer.set_cookie(self._cookie, secret, httponly=True, samesite='strict')
    return answer

  async def _static(self, request: requests.Request) -> responses.Response:
    if request.path_params['name'] not in start_page.RESOURCES:
      return answers.missing()
    text, kind = start_page.read_resource(request.path_params['name'])
    return responses.Response(text, media_type=kind)

  async def _state(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    since = request.query_params.get('since', '')
    return responses.JSONResponse(session.state(int(since) if since.isdecimal() else -1))

  async def _names(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    """Says of each file, before it is sent, whether it may be: '' yes, null passed over, or the reason."""
    asked = await answers.read_json(request)
    try:
      listed = [(str(name), int(size)) for name, size in asked['files']]
    except (KeyError, TypeError, ValueError):
      raise session_lib.Refused(answers.AGAIN) from None
    replies: list[str | None] = []
    for given, size in listed:
      name = uploaded_name.cleaned(given)
      if uploaded_name.is_litter(name):
        replies.append(None)
        continue
      reason = uploaded_name.refusal(name) or self._limits.refusal(size, 0, 0)
      problem = f'{uploaded_name.shown(name)}: {reason}' if reason else ''
      if problem:
        session.remember(problem)
      replies.append(problem)
    return responses.JSONResponse({'answers': replies})

  async def _upload(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    name = uploaded_name.cleaned(urllib.parse.unquote(request.headers.get('x-name', '')))
    shown = uploaded_name.shown(name)
    try:
      if reason := uploaded_name.refusal(name):
        raise session_lib.Refused(f'{shown}: {reason}')
      length = request.headers.get('content-length', '')
      if not length.isdecimal():
        raise session_lib.Refused(f'{shown}: came without its size')
      is_new = await self._receive(request, session, shown, int(length))
    except session_lib.Refused as refused:
      session.remember(str(refused))
      raise
    if is_new:
      self._sessions.analyse(session)
    return responses.JSONResponse({'is_new': is_new})

  async def _receive(
    self, request: requests.Request, session: session_lib.Session, shown: str, length: int
  ) -> bool:
    """Takes a photograph up into the session; False if it is there already."""
    identity = secrets.token_urlsafe(16)
    path = session.folder / identity
    digest, num = hashlib.sha256(), 0
    with session.reserve(shown, identity, length):
      try:
        with open(path, 'xb') as file:
          async for part in request.stream():
            num += len(part)
            if num > length:
              raise session_lib.Refused(f'{shown}: has more bytes than it said')
            digest.update(part)
            await concurrency.run_in_threadpool(file.write, part)
        photograph = photograph_file.PhotographFile(
          identity, shown, path, digest.hexdigest()[:16], (0, 0), num
        )
        self._decoding = self._decoding or anyio.CapacityLimiter(_DECODED_AT_ONCE)
        photograph = await anyio.to_thread.run_sync(
          self._analysis.decode_upload, photograph, limiter=self._decoding
        )
        is_new = session.add(photograph)
      except BaseException as error:
        _remove(path)
        if isinstance(error, rgb.TooLarge):
          raise session_lib.Refused(
            f'{shown}: {megapixels.refusal(error, self._limits.pixels, "serve")}'
          ) from None
        if isinstance(error, rgb.DecodeError):
          raise session_lib.Refused(f'{shown}: {error}') from None
        if isinstance(error, OSError):
          reason = 'came after everything was deleted' if session.is_closed else 'cannot be stored'
          raise session_lib.Refused(f'{shown}: {reason} ({error.strerror})') from None
        raise
      if not is_new:
        _remove(path)
      return is_new

  async def _picture(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    photograph = session.photograph(request.path_params['id'])
    size = request.path_params['size']
    if photograph is None or size not in photograph_file.SIDES:
      return answers.missing()
    return answers.file(photograph.picture(size), 'image/jpeg')

  async def _cell(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    photograph, number = session.photograph(request.path_params['id']), request.path_params['number']
    if photograph is None or not 1 <= number <= len(photograph.cells):
      return answers.missing()
    return answers.file(photograph.cell_picture(number), 'image/jpeg')

  async def _heat(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    photograph, number = session.photograph(request.path_params['id']), request.path_params['number']
    if photograph is None or not 1 <= number <= len(photograph.cells):
      return answers.missing()
    path = photograph.heat_picture(number)
    if not path.exists():
      task = self._sessions.worker.submit(worker.CLICK, lambda: self._analysis.draw_heat(photograph, number))
      data = await asyncio.wrap_future(task)
      if not data:
        return answers.missing()
      path.write_bytes(data)
    return answers.file(path, 'image/png')

  async def _label(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    asked = await answers.read_json(request)
    try:
      since, name, cells = int(asked['since']), asked['label'], [str(each) for each in asked['cells']]
    except (KeyError, TypeError, ValueError):
      raise session_lib.Refused(answers.AGAIN) from None
    session.label(cells, None if name is None else str(name))
    return responses.JSONResponse(session.state(since))

  async def _hide(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    session.forget_problems()
    return responses.JSONResponse({})

  async def _export(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    name = request.path_params['name']
    if name not in exported_file.TYPES:
      return answers.missing()
    data = await concurrency.run_in_threadpool(exported_file.content, name, session, self._analysis)
    # The name under which the review page exports labels.
    shown = 'corrections.csv' if name == exported_file.LABELS else name
    headers = {'content-disposition': f'attachment; filename="{shown}"'}
    return responses.Response(data, media_type=exported_file.TYPES[name], headers=headers)

  async def _adapt_state(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    return responses.JSONResponse(self._adapting.state(self._secret(request)))

  async def _adapt(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    asked = await answers.read_json(request)
    if not isinstance(asked, dict):
      raise session_lib.Refused(answers.AGAIN)
    secret = self._secret(request)
    await concurrency.run_in_threadpool(
      self._adapting.start, secret, session, str(asked.get('name', '')), self._analysis.spec.max_pixels
    )
    return responses.JSONResponse(self._adapting.state(secret))

  async def _adapt_stop(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    self._adapting.stop(self._secret(request))
    return responses.JSONResponse({})

  async def _delete(self, request: requests.Request, session: session_lib.Session) -> responses.Response:
    await concurrency.run_in_threadpool(self._sessions.end, self._secret(request))
    answer = responses.JSONResponse({})
    answer.delete_cookie(self._cookie, httponly=True, samesite='strict')
    return answer


def _remove(path: pathlib.Path) -> None:
  """Removes an upload with the pictures that were made of it."""
  for one in path.parent.glob(f'{path.name}*'):
    one.unlink(missing_ok=True)
