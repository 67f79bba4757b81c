"""One of two hosts: the training of `many_devices`, messages, and a stop that one host is asked for; prints JSON.

python -m tests.train.two_hosts HOST:PORT PROCESS_ID
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from bloodcell_jax.train import agreed_stop, host_plan, hosts, signals
from tests.train import many_devices


def main() -> None:
  """Trains with the other host."""
  plan = host_plan.read(sys.argv[1], 2, int(sys.argv[2]))
  assert plan is not None
  group = hosts.connect(plan, 120)
  with group.together():
    right = many_devices.train(0, 'jit')
    # Host 1 gives rows of host 0 in place of its own.
    wrong = many_devices.train(0, 'jit', move=group.index)
    value = {
      'right': right.tolist(),
      'wrong': wrong.tolist(),
      'everyone': group.everyone('number', {'is': group.index}),
      'first': group.from_first('word', lambda: 'of host 0'),
      'zeros': _zeros(group),
      'stopped_after': _stopped_after(group),
      'evaluated': _evaluated(group),
    }
  print(json.dumps(value))


def _zeros(group: hosts.Hosts) -> list[bool]:
  """Of -0 and 0 of host 0 as they come here, which is negative."""
  zeros = np.array([-0.0, 0.0] if group.is_first else [0.0, -0.0], np.float32)
  return np.signbit(group.broadcast(zeros.view(np.uint8)).view(np.float32)).tolist()


def _stopped_after(group: hosts.Hosts) -> int:
  """How many updates are polled after until the stop that host 1 is asked for after the fifth."""
  asked = signals.Stop()
  stop = agreed_stop.agree(asked, group)
  for update in range(1, 100):
    asked.requested = group.index == 1 and update >= 5
    try:
      stop.poll()
    except signals.Stopped:
      return update
    # As an update: neither host is more than one ahead.
    group.everyone('update', update)
  return 0


def _evaluated(group: hosts.Hosts) -> list[str]:
  """What comes of two evaluations by host 0: the first as it is, the second until host 1 is asked to stop."""
  asked = signals.Stop()
  stop = agreed_stop.shared(asked, group)

  def evaluate(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
      stop.poll()
      time.sleep(0.05)
    return 'figures'

  found = [group.from_first('first figures', lambda: evaluate(2.5))]
  asked.requested = group.index == 1
  try:
    found.append(group.from_first('second figures', lambda: evaluate(100)))
  except signals.Stopped:
    found.append('stopped')
  return found


if __name__ == '__main__':
  main()
