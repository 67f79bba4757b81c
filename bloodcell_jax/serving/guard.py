"""What every request passes first: it must come from a page of this server, and every answer forbids the rest."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection

from starlette import datastructures, responses, types

from bloodcell_jax.reports import page


def content_security_policy() -> str:
  """Nothing but this server's own files, and the style that `page.whole` writes into the page."""
  style = base64.b64encode(hashlib.sha256(page.STYLE.encode()).digest()).decode()
  return (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    f"style-src 'self' 'sha256-{style}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
  )


class Guard:
  """Refuses requests by other names of this computer, against DNS rebinding, and changes asked for by other pages.

  Args:
    app: what answers the others.
    hosts: values of the header Host by which the server may be asked.
  """

  def __init__(self, app: types.ASGIApp, hosts: Collection[str]):
    self._app, self._hosts = app, frozenset(hosts)
    self._headers = {
      'content-security-policy': content_security_policy(),
      'cache-control': 'no-store',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    }

  async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
    """Answers a request."""
    if scope['type'] != 'http':
      return
    headers = datastructures.Headers(scope=scope)
    host = headers.get('host', '')
    is_own = headers.get('origin', f'http://{host}') == f'http://{host}'
    is_own = is_own and headers.get('sec-fetch-site', 'same-origin') in ('same-origin', 'none')

    async def send_guarded(message: types.Message) -> None:
      if message['type'] == 'http.response.start':
        answer = datastructures.MutableHeaders(scope=message)
        for name, value in self._headers.items():
          answer[name] = value
      await send(message)

    if host not in self._hosts:
      refusal = responses.PlainTextResponse('open the address that the program printed\n', 421)
      await refusal(scope, receive, send_guarded)
    elif scope['method'] not in ('GET', 'HEAD') and not is_own:
      refusal = responses.PlainTextResponse('only the page itself may ask for this\n', 403)
      await refusal(scope, receive, send_guarded)
    else:
      await self._app(scope, receive, send_guarded)
