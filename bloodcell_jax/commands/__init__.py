"""One small file a command; each has `define_flags()` and `run(request, stop)`: an exit code, or None for 0."""

import dataclasses
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from absl import flags

from bloodcell_jax.base import run_format

# Said by `--help`; here and not in the modules, so that asking for help loads nothing heavy.
SUMMARIES = {
  'train': 'train or continue; at the end evaluate the best checkpoint and write the report',
  'evaluate': 'score a run on its test splits, or on any folder of classes (--data_dir)',
  'predict': 'classify images or folders of images: predictions, a differential count, a review page',
  'explain': 'show what each layer sees in images and which pixels the answer rests on',
  'augment': 'preview and save augmented images; rebuild a balanced training set off line',
  'audit': 'look for leaks and duplicates between the splits of a data set; exits 3 when it finds a leak',
  'ensemble': 'train networks and combine them, combine finished runs (--combine), fit trees on features (--trees)',
  'export': 'write a portable model with its card, compared with the run on its own images',
}


@dataclasses.dataclass(frozen=True)
class Request:
  """What was typed."""

  config: Any  # a ConfigDict, or None when no --config was given
  config_name: str  # the file's name and variant, for the default workdir
  workdir: str  # empty when not given
  paths: tuple[str, ...]

  def folder(self) -> pathlib.Path:
    """The run's folder: --workdir, or runs/<config name>."""
    return pathlib.Path(self.workdir or f'runs/{self.config_name}')


def overview(usage: str) -> str:
  """What `main.py --help` prints."""
  width = max(map(len, SUMMARIES))
  lines = [f'  {name:<{width}}  {summary}' for name, summary in SUMMARIES.items()]
  return '\n'.join([usage.strip().split('\n')[0], '', *lines, '', 'COMMAND --help shows its flags.'])


def flag_help(*modules: str) -> str:
  """The flags that these modules define, one line each."""
  by_module = flags.FLAGS.flags_by_module_dict()
  found = [
    flag
    for name, defined in by_module.items()
    if name in modules or name.endswith('main.py') or name == '__main__'
    for flag in defined
  ]
  return '\n'.join(f'  --{flag.name}  {flag.help}' for flag in found)


def one_line(error: Exception, argv: Sequence[str]) -> str:
  """What is wrong with the flags or the config, without a traceback."""
  text = str(error)
  if isinstance(error, AttributeError | KeyError):
    # ml_collections names one part of the key first and, if there is a similar one, that in quotes.
    key, *near = re.findall(r'\w+', text.replace('\\n', ' '))[:1] + re.findall(r'Did you mean "(\w+)"', text)
    names = [a.split('=')[0] for a in argv]
    for name in names:
      prefix, _, dotted = name.partition('config.')
      if prefix in ('-', '--') and (now := run_format.current_key(dotted)):
        return f'{name}: is called {prefix}config.{now} now'
    typed = next((name for name in names if key in name.split('.')), key)
    meant = '.'.join(near[0] if part == key else part for part in typed.split('.')) if near else ''
    return f'{typed}: no such key' + (f'; did you mean {meant}?' if near else '')
  if isinstance(error, OSError):
    config = next((a for a in argv if a.startswith('--config')), '--config')
    return f'{config}: no such config file; the configs are in configs/'
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  return lines[0] if len(lines) == 1 else f'{lines[0]} {lines[-1]}'
