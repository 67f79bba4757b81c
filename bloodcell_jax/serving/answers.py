"""Answers that several addresses of the page share, and the questions that come as JSON."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from starlette import requests, responses

from bloodcell_jax.serving import session

AGAIN = 'load the page again'
_MOST_JSON = 10**6  # bytes of a request other than a photograph


class Gone(Exception):
  """The session has been deleted."""


async def read_json(request: requests.Request) -> Any:
  """The JSON value that a request brings. Raises Refused where it is too long or is none."""
  data = b''
  async for part in request.stream():
    data += part
    if len(data) > _MOST_JSON:
      raise session.Refused(f'this was too much at once; {AGAIN}')
  try:
    return json.loads(data)
  except ValueError:
    raise session.Refused(AGAIN) from None


def file(path: pathlib.Path, kind: str) -> responses.Response:
  """The content of a file of that type."""
  try:
    return responses.Response(path.read_bytes(), media_type=kind)
  except OSError:
    return missing()


def missing() -> responses.Response:
  """There is nothing at this address for this session."""
  return responses.PlainTextResponse('not here\n', 404)


async def refused(request: requests.Request, error: Exception) -> responses.Response:
  """The sentence of a refusal."""
  return responses.JSONResponse({'problem': str(error)}, 422)


async def gone(request: requests.Request, error: Exception) -> responses.Response:
  """The session of the request has ended."""
  return responses.JSONResponse({'problem': f'the photographs have been deleted; {AGAIN}'}, 410)
