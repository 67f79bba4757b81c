"""`evaluate` within a test's own process."""

from __future__ import annotations

from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.commands import evaluate
from bloodcell_jax.train import signals


def run(monkeypatch, folder, config: Any = None, **given: str) -> None:
  """What `python main.py evaluate --workdir=FOLDER` does, with these flags."""
  # Flags of the command's own names apart from those of the process, which can be defined once only.
  values = flags.FlagValues()
  for name in ('data_dir', 'groups_csv', 'compare'):
    flags.DEFINE_string(name, given.get(name, ''), '', flag_values=values)
  flags.DEFINE_string('unlike', given.get('unlike', 'withhold'), '', flag_values=values)
  flags.DEFINE_string('on_bad_image', given.get('on_bad_image'), '', flag_values=values)
  values(['main.py'])
  monkeypatch.setattr(flags, 'FLAGS', values)
  evaluate.run(commands.Request(config, '', str(folder), ()), signals.Stop())
