"""Hosts that train together: the messages between them, and what is done when one is gone.

Hosts of one network are processes of one JAX: a message is a value in the store of its coordination service, which host
0 runs; arrays go from device to device. As `jax.distributed` itself, they are those of the whole process: `connect`
joins them, `current` is what was joined. Hosts of which each trains networks alone (`hosts_apart`) have their messages
in a `host_store`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bloodcell_jax.base import types
from bloodcell_jax.system import console, host_store
from bloodcell_jax.train import host_plan, signals

T = TypeVar('T')
# In seconds: between two signs of life; how long without one until a host counts as gone, and how long once a sum over
# the devices has failed; how long the other hosts then have to end by themselves.
_BEAT, LOST, _SUSPECT, _GRACE = 1.0, 20.0, 4.0, 15.0
# The same in JAX, which ends the process: only where the thread below cannot.
_JAX_LOST = 30
# What a store raises that does not answer, or that has no such value yet.
_UNANSWERED = (jax.errors.JaxRuntimeError, OSError)
_DONE, _STOPPED, _FAILED = 'done', 'stopped', 'failed'
_AGAIN = (
  'The newest checkpoint is kept; start all hosts again with the same command, or one alone without '
  '--coordinator'
)


class Hosts:
  """The hosts of this process.

  **Guarantees**: all hosts that call `everyone`, `from_first` and `broadcast` in the same order get the same values, or
  none returns: where a host ends or is gone for LOST seconds, the others raise within these, or are ended
  `_GRACE` seconds later wherever they are, with one line that says which host it was.
  """

  def __init__(self, index: int, num: int, store: host_store.Store | None):
    """`store` has the values of hosts that train apart; None for that of JAX."""
    self.index, self.num, self.store = index, num, store
    self._messages = 0
    self.ending: tuple[str, str] | None = None  # of another host: how, and a line
    self.is_settled = False  # this host is ending, whatever the others do
    self.asked = signals.Stop()  # whether this one is to stop
    self.others_asked: set[int] = set()  # to stop
    self._ended: set[int] = set()
    self._heard: dict[int, tuple[str, float]] = {}
    self._left = threading.Event()

  @property
  def is_first(self) -> bool:
    """Whether this host evaluates, prints and writes the run's folder."""
    return self.index == 0

  @property
  def client(self) -> Any:
    """The store of the values."""
    if self.store is not None:
      return self.store
    from jax._src import distributed  # JAX has no public name for it

    return distributed.global_state.client

  def everyone(self, name: str, value: Any) -> list[Any]:
    """The JSON value of every host, by number."""
    if self.num == 1:
      return [value]
    self._messages += 1
    own = {'name': name, 'value': value}
    self.ask(lambda: self._send(f'message/{self._messages}/{self.index}', own))
    return [self._receive(name, k) for k in range(self.num)]

  def from_first(self, name: str, compute: Callable[[], T]) -> T:
    """The JSON value that host 0 computes; the others wait for it. Raises `signals.Stopped` on all if it does there."""
    if self.num == 1:
      return compute()
    self._messages += 1
    if self.is_first:
      try:
        value = compute()
      except signals.Stopped:
        self.is_settled = True
        self._send(f'message/{self._messages}/0', {'name': name, 'stopped': True})
        raise
      self.ask(lambda: self._send(f'message/{self._messages}/0', {'name': name, 'value': value}))
    return self._receive(name, 0)

  def broadcast(self, array_N: np.ndarray) -> np.ndarray:
    """The uint8 array of host 0; those of the others, of the same length, are not looked at."""
    if self.num == 1:
      return array_N
    mesh = Mesh(np.array(jax.devices()), ('device',))
    rows, whole = NamedSharding(mesh, PartitionSpec('device')), NamedSharding(mesh, PartitionSpec())
    own_DN = np.zeros((len(jax.local_devices()), len(array_N)), np.uint8)
    own_DN[0] = array_N if self.is_first else 0
    all_DN = jax.make_array_from_process_local_data(rows, own_DN, (len(jax.devices()), len(array_N)))
    # Bytes, because a sum of floats would turn -0 into 0.
    return np.asarray(jax.jit(lambda x: x.sum(0, dtype=x.dtype), out_shardings=whole)(all_DN))

  def check(self) -> None:
    """Raises what has ended another host: `signals.Stopped`, or RunError with a line."""
    if self.ending:
      how, line = self.ending
      raise signals.Stopped if how == _STOPPED else types.RunError(line)

  def _send(self, key: str, value: Any) -> None:
    self.client.key_value_set(key, json.dumps(value), allow_overwrite=True)

  def ask(self, question: Callable[[], T]) -> T:
    """What the store answers, waited for until a host is gone; by hosts that train apart, until this one is to stop."""
    while True:
      try:
        return question()
      except _UNANSWERED:
        self.check()
        # Hosts of one network wait for host 0, which is told and stops all.
        if self.store is not None:
          self.asked.poll()
        time.sleep(0.05)

  def _receive(self, name: str, k: int) -> Any:
    key = f'message/{self._messages}/{k}'
    message = json.loads(self.ask(lambda: self.client.blocking_key_value_get(key, 1000)))
    assert message['name'] == name, f'host {k} sent {message["name"]}, not {name}'
    if message.get('stopped'):
      self.is_settled = True
      raise signals.Stopped
    return message['value']

  def _others(self) -> list[int]:
    return [k for k in range(self.num) if k != self.index]

  def _watch(self) -> None:
    """The thread that shows that this host is there, and looks after the others."""
    now = time.monotonic()
    self._heard, beats, noticed = dict.fromkeys(self._others(), ('', now)), 0, 0.0
    while not self._left.wait(_BEAT):
      beats += 1
      try:
        self.client.key_value_set(f'alive/{self.index}', str(beats), allow_overwrite=True)
        if self.asked.requested:
          self._send(f'asked/{self.index}', '')
        self._look(dict(self.client.key_value_dir_get('alive/')))
      except _UNANSWERED:
        # Without host 0 nothing is heard of the others, who may well be there.
        self._heard |= {k: (count, time.monotonic()) for k, (count, _) in self._heard.items() if k}
      now = time.monotonic()
      if self.ending is None and (gone := self._silent(LOST)) is not None:
        self.ending = self._lost(gone)
      noticed = noticed or (now if self.ending else 0.0)
      if noticed and now - noticed > _GRACE and not self.is_settled:
        self._abort()

  def _look(self, alive: dict[str, str]) -> None:
    now = time.monotonic()
    for k in self._others():
      count = alive.get(f'alive/{k}', '')
      if count != self._heard[k][0]:
        self._heard[k] = count, now
    for key, text in self.client.key_value_dir_get('end/'):
      k, (how, line) = int(key.split('/')[1]), json.loads(text)
      self._ended.add(k)
      if k != self.index and how != _DONE and self.ending is None:
        self.ending = how, f'host {k} has ended: {line}'
    asked = {int(key.split('/')[1]) for key, _ in self.client.key_value_dir_get('asked/')}
    self.others_asked |= asked - {self.index}
    # Hosts of one network stop after the same update instead, or where host 0 stops evaluating.
    if self.store is not None and self.ending is None and self.others_asked:
      self.ending = _STOPPED, 'another host was asked to stop'

  def _silent(self, seconds: float) -> int | None:
    """The first host that has shown no sign of life for so long."""
    now = time.monotonic()
    return next(
      (k for k, (_, at) in self._heard.items() if k not in self._ended and now - at > seconds), None
    )

  def _lost(self, k: int) -> tuple[str, str]:
    """How a host that no longer answers has ended, and a line."""
    if k in self.others_asked:
      return _STOPPED, f'host {k} was asked to stop and has ended. {_AGAIN}'
    return _FAILED, f'host {k} no longer answers. {_AGAIN}'

  def _abort(self) -> None:
    """Ends the process at once; also in place of JAX, which aborts it when host 0 is gone."""
    if self._left.is_set():
      os._exit(0)
    unknown = self._lost(0) if self.index else (_FAILED, 'JAX has ended the connection of the hosts')
    how, line = self.ending or unknown
    console.urgent(f'{line}\n')
    os._exit(signals.EXIT_CODE if how == _STOPPED else 1)

  def start(self) -> None:
    """Begins to look after the others."""
    if os.name != 'nt' and self.store is None:
      self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: self._abort())
      libc = ctypes.CDLL(None)
      libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
      # In C: a Python handler would run after the process is gone.
      libc.signal(signal.SIGABRT, ctypes.cast(self._handler, ctypes.c_void_p))
    threading.Thread(target=self._watch, name='hosts', daemon=True).start()

  @contextlib.contextmanager
  def together(self) -> Iterator[None]:
    """Tells the others how the block ended; an error that another host has caused becomes one line about that host."""
    how, line = _FAILED, 'by an error in the program'
    try:
      yield
      how, line = _DONE, ''
    except signals.Stopped:
      how = _STOPPED
      if self.ending and not self.asked.requested:
        how, line = self.ending
        self.check()
      raise
    except (types.UserError, types.RunError) as error:
      line = str(error)
      raise
    except Exception as error:
      # Such as a disk that is full.
      line = str(error) if isinstance(error, OSError) else line
      end = time.monotonic() + 2 * _SUSPECT
      while self.num > 1 and self.ending is None and time.monotonic() < end:
        if (gone := self._silent(_SUSPECT)) is not None:
          self.ending = self._lost(gone)
        time.sleep(0.1)
      if self.ending:
        how, line = self.ending
      self.check()
      raise
    finally:
      if self.num > 1:
        self._leave(how, line)

  def _leave(self, how: str, line: str) -> None:
    self.is_settled = True
    with contextlib.suppress(*_UNANSWERED):
      self._send(f'end/{self.index}', (how, line))
      # The store ends with host 0; JAX itself waits for the others where nothing went wrong.
      end = time.monotonic() + (5 if how != _DONE else LOST)
      while self.is_first and (how != _DONE or self.store is not None) and time.monotonic() < end:
        if all(k in self._ended or self._silent(_SUSPECT) == k for k in self._others()):
          break
        time.sleep(0.1)
    if how == _DONE:
      self._left.set()


_current = Hosts(0, 1, None)


def current() -> Hosts:
  """The hosts that this process belongs to; itself alone without `connect`."""
  return _current


def connect(joined: host_plan.Plan, seconds: float) -> Hosts:
  """Joins the other hosts; to be called before JAX is first used.

  Args:
    joined: who they are.
    seconds: how long to wait for them.

  Raises:
    UserError: they did not come in time, or do not fit together.
  """
  global _current
  host_plan.meet(joined, 'one network', seconds)
  # It would take SIGTERM away from `signals.Stop`.
  jax.config.update('jax_enable_preemption_service', False)
  jax.distributed.initialize(
    joined.coordinator,
    joined.num,
    joined.index,
    local_device_ids=joined.device_ids,
    cluster_detection_method='deactivate',
    initialization_timeout=max(int(seconds), 10),
    heartbeat_timeout_seconds=_JAX_LOST,
  )
  _current = Hosts(joined.index, joined.num, None)
  _current.start()
  return _current
