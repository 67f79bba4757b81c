"""The sessions of all browsers: each found by the secret in its cookie, and deleted when it is not used."""

from __future__ import annotations

import pathlib
import secrets
import threading
import time

from bloodcell_jax.serving import analysis as analysis_lib
from bloodcell_jax.serving import limits as limits_lib
from bloodcell_jax.serving import session as session_lib
from bloodcell_jax.serving import worker as worker_lib

# Photographs analysed together: a few, so that two people's take turns.
_GROUP = 8


class SessionList:
  """All sessions, with the worker that analyses their photographs in turn.

  Args:
    folder: for the folders of the sessions.
    analysis: the classifier.
    limits: of each session, and their number.
    worker: the thread of the networks.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    analysis: analysis_lib.Analysis,
    limits: limits_lib.Limits,
    worker: worker_lib.Worker,
  ):
    self.analysis, self.limits, self.worker = analysis, limits, worker
    self._folder = folder
    self._lock = threading.Lock()
    self._sessions: dict[str, session_lib.Session] = {}
    self._is_prepared = False

  def begin(self) -> tuple[str, session_lib.Session] | None:
    """A new session and its secret; None if there are as many as there may be."""
    self.expire()
    with self._lock:
      if len(self._sessions) >= self.limits.num_sessions:
        return None
      secret = secrets.token_urlsafe(32)
      folder = self._folder / secrets.token_hex(16)
      folder.mkdir(mode=0o700)
      session = session_lib.Session(folder, secrets.token_urlsafe(32), self.analysis, self.limits)
      self._sessions[secret] = session
      return secret, session

  def find(self, secret: str) -> session_lib.Session | None:
    """The session of this secret, which counts as used now; None if there is none."""
    with self._lock:
      session = self._sessions.get(secret)
    if session is not None:
      session.last_used = time.monotonic()
    return session

  def end(self, secret: str) -> None:
    """Deletes a session and everything uploaded in it."""
    with self._lock:
      session = self._sessions.pop(secret, None)
    if session is not None:
      session.close()

  def expire(self) -> None:
    """Deletes the sessions that nobody has used for `Limits.minutes`."""
    now = time.monotonic()
    with self._lock:
      old = [
        secret
        for secret, session in self._sessions.items()
        if now - session.last_used > 60 * self.limits.minutes
      ]
    for secret in old:
      self.end(secret)

  def end_all(self) -> None:
    """Deletes every session."""
    for secret in list(self._sessions):
      self.end(secret)

  def analyse(self, session: session_lib.Session) -> None:
    """Has the session's photographs analysed, in turn with those of others."""

    def advance() -> None:
      # The first one alone, so that something is seen soon.
      group = session.waiting(_GROUP if session.classified() else 1)
      if group and not session.is_closed:
        session.analyse(group)
        # At the end of the queue, behind another person's photographs.
        self.analyse(session)
      elif not self._is_prepared:
        # Not before: a compilation that has begun would keep the first photographs waiting.
        self._is_prepared = True
        self.worker.submit(worker_lib.PREPARATION, self.analysis.warm_up_heat_maps)

    self.worker.submit(worker_lib.PHOTOGRAPHS, advance)
