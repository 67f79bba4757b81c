"""Two hosts in one process, which train apart: host 1 speaks to host 0 over a socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

from bloodcell_jax.system import host_store
from bloodcell_jax.train import hosts


@contextlib.contextmanager
def pair() -> Iterator[list[hosts.Hosts]]:
  """Both; neither looks after the other unless started."""
  with socket.create_server(('', 0)) as server:
    where = f'127.0.0.1:{server.getsockname()[1]}'
  store, remote = host_store.Store(), host_store.Remote(where, 'word')
  store.serve(where, 'word')
  both = [hosts.Hosts(0, 2, store), hosts.Hosts(1, 2, remote)]
  try:
    yield both
  finally:
    for group in both:
      group._left.set()
    remote.close()


def run(both: Sequence[hosts.Hosts], work: Callable[[int], None]) -> None:
  """Has both do their work at once, each looking after the other; `work` takes the number of a host."""
  for group in both:
    group.start()
  threads = [threading.Thread(target=work, args=(index,)) for index in range(len(both))]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  assert not any(thread.is_alive() for thread in threads)
