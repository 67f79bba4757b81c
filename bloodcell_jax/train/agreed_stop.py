"""A stop of hosts that train one network: raised on all of them after the same update."""

from __future__ import annotations

from bloodcell_jax.train import hosts, signals


def agree(stop: signals.Stop, group: hosts.Hosts) -> signals.Stop:
  """A stop that is raised on all hosts after the same update, whichever was asked to stop.

  One for all stages of a run: updates are counted from the first poll on, and so is the one that a host announces.
  """
  return stop if group.num == 1 else _Agreed(stop, group)


class _Agreed(signals.Stop):
  """Polled by all hosts after each update; raises after the same one on all of them."""

  def __init__(self, stop: signals.Stop, group: hosts.Hosts):
    super().__init__()
    self._stop, self._group, self._polls, self._is_announced = stop, group, 0, False

  def poll(self) -> None:
    self._polls += 1
    self.requested = self._stop.requested
    client = self._group.client
    if self.requested and not self._is_announced:
      self._is_announced = True
      # No host is more than one update ahead, because each checks the update before its last one. So every host sees
      # this number before it reaches it.
      client.key_value_set(f'stop/{self._group.index}', str(self._polls + 2))
    named = [int(text) for _, text in client.key_value_dir_get('stop/')]
    if named and self._polls >= min(named):
      self._group.is_settled = True
      raise signals.Stopped
    self._group.check()
