"""Stops of several hosts: one that any of them is asked for, and one that is raised on all after the same update."""

from __future__ import annotations

import contextlib

from bloodcell_jax.train import hosts, signals


def shared(stop: signals.Stop, group: hosts.Hosts) -> signals.Stop:
  """A stop that is raised on each of the hosts, once one of them was asked to stop, has failed or is gone.

  Each saves its state then. `Hosts.together` turns it into a line where another host has failed or is gone. Hosts of
  one network poll it where they wait for none of the others, such as host 0 while it evaluates.
  """
  group.asked = stop
  return _SharedStop(stop, group)


class _SharedStop(signals.Stop):
  """Polled by each host as it comes to it."""

  def __init__(self, stop: signals.Stop, group: hosts.Hosts):
    super().__init__()
    self._stop, self._group = stop, group

  def poll(self) -> None:
    group = self._group
    self.requested = self._stop.requested or bool(group.others_asked) or group.ending is not None
    super().poll()


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
    with contextlib.suppress(signals.Stopped):
      # One that is shared looks at the other hosts.
      self._stop.poll()
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
