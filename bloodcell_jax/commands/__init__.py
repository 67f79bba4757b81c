"""The commands: small modules with `define_flags()` and `run(request, stop)`, which returns an exit code or None."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from bloodcell_jax.system import config_file

# Printed by `--help`; here and not in the modules, so that `--help` loads no heavy library.
SUMMARIES = {
  'train': 'train, or continue a run; then evaluate the best checkpoint and write the report',
  'evaluate': 'evaluate a run on its test splits, or on any folder with a subfolder per class (--data_dir)',
  'predict': 'classify images or folders of images: predictions, a differential count, a review page',
  'explain': 'show the feature maps of each layer and which pixels a prediction depends on',
  'augment': 'preview or save augmented images; rebuild a class-balanced training set offline',
  'audit': 'find leaks and duplicates in a data set; exit code 3 for a leak, 4 if some images were not compared',
  'ensemble': 'train and combine networks, combine finished runs (--combine), fit trees to features (--trees)',
  'study': "run every row of the study and write its table beside the study's figures",
  'adapt': 'make a run for another laboratory from a few labels; propose which images to label next',
  'serve': 'open a local page: drop photographs, see their cells, correct and count them (Ctrl-C ends it)',
  'export': 'write a portable model with its model card, checked against the run on its own images',
}
# What follows the name of a command, as `COMMAND --help` prints it.
USAGE = {
  'train': '--config=configs/NAME.py[:VARIANT] [--config.SECTION.KEY=VALUE]... [--workdir=FOLDER]',
  'evaluate': '--workdir=RUN [--data_dir=FOLDER]',
  'predict': '[--workdir=RUN] PATH...',
  'explain': '--workdir=RUN [PATH...]',
  'augment': '--config=configs/NAME.py --config.data.source=SOURCE --config.data.dir=FOLDER',
  'audit': '--config.data.source=SOURCE --config.data.dir=FOLDER [--workdir=FOLDER]',
  'ensemble': '--config=configs/ensemble.py | --combine --workdir=FOLDER RUN RUN... | --trees --workdir=RUN',
  'study': '--config.data.source=kaggle --config.data.dir=FOLDER [--workdir=FOLDER]',
  'adapt': '[--workdir=RUN] --data_dir=FOLDER [--labels_csv=FILE] [--to=FOLDER]',
  'serve': '[--workdir=RUN]',
  'export': '--workdir=RUN',
}


@dataclasses.dataclass(frozen=True)
class Request:
  """The command line, parsed."""

  config: Any  # a ConfigDict, or None when no --config was given
  config_name: str  # the file's name and variant, for the default workdir
  workdir: str  # --workdir; empty if not given
  paths: tuple[str, ...]
  # Keys given without --config to a command with OF_RUN: they change those of the run in the folder.
  changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  # The dotted keys of the config that stand on the command line, such as train.epochs.
  given: tuple[str, ...] = ()

  def folder(self) -> pathlib.Path:
    """The run's folder: --workdir, or runs/<config name>; with --workdir=box a copy of the model in the box."""
    # Imported late, because asking for help loads nothing heavy.
    from bloodcell_jax.storage import box

    if box.is_meant(self.workdir):
      return box.copy()
    return pathlib.Path(self.workdir or f'runs/{self.config_name}')


def data_dir() -> str:
  """The value of --data_dir; empty where a command is called by code that has parsed no flags."""
  return str(flags.FLAGS['data_dir'].value) if 'data_dir' in flags.FLAGS else ''


def overview(usage: str) -> str:
  """The text that `--help` prints, with the line of usage above."""
  width = max(map(len, SUMMARIES))
  lines = [f'  {name:<{width}}  {summary}' for name, summary in SUMMARIES.items()]
  return '\n'.join([usage, '', *lines, '', 'COMMAND --help shows its flags.'])


def flag_help(*modules: str) -> str:
  """The flags that these modules define, one line each, with their defaults but those that are empty, 0 or false."""
  by_module = flags.FLAGS.flags_by_module_dict()
  defined_here = [flag for name, defined in by_module.items() if name in modules for flag in defined]

  def default(flag: flags.Flag) -> str:
    if flag.default is True:
      return f' (default true; --{flag.name}=false for none)'
    return f' (default {flag.default})' if flag.default else ''

  return '\n'.join(f'  --{flag.name}  {flag.help}{default(flag)}' for flag in defined_here)


def one_line(error: Exception, argv: Sequence[str]) -> str:
  """An error of absl or ml_collections about the flags or the config as one line for the user."""
  # Imported late: it loads JAX, which asking for help does not need.
  from bloodcell_jax.base import run_format

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
    words = ' '.join(argv)
    config = next((a for a in argv if a.startswith('--config=')), '')
    config = config or (re.findall(r'--?config \S+', words) or ['--config'])[0]
    return f'{config}: no such config file; those of the package are {", ".join(config_file.names())}'
  if named := re.match(r"flag --(\w+)=(.*): \('Non-boolean argument to boolean flag'", text, re.DOTALL):
    rest = (
      ' and the runs after it: ensemble --combine --workdir=FOLDER RUN RUN' if named[1] == 'combine' else ''
    )
    return f'--{named[1]}={named[2]}: the flag takes no value; write --{named[1]} alone{rest}'
  if sum(a.split('=')[0] in ('--config', '-config') for a in argv) > 1 and 'is defined twice' in text:
    return '--config is given twice; give it once'
  if named := re.match(r"Unknown command line flag '(config\.[\w.]+)'", text):
    return f'--{named[1]}: a config key needs --config as well, such as --config=configs/default.py'
  if named := re.match(
    r"flag (--?config\.([\w.]+))=(.*?): Failed to parse '.*' as a ConfigDict", text, re.DOTALL
  ):
    inside = [key.removeprefix(named[2]) for key in _keys() if key.startswith(f'{named[2]}.')]
    key = next((key for key in ('.name', '.path', *inside) if key in inside), '.KEY')
    return f'{named[1]}={named[3]}: is a section; give one of its keys, such as {named[1]}{key}'
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  whole = lines[0] if len(lines) == 1 else f'{lines[0]} {lines[-1]}'
  if named := re.match(r"Unknown command line flag '([\w.-]+)'", text):
    from bloodcell_jax.commands import unknown_flag

    command = argv[1] if argv[1] in SUMMARIES else 'train'
    return unknown_flag.line(command, named[1], _keys(), whole)
  return whole


def _keys() -> list[str]:
  """The keys of a config."""
  from bloodcell_jax.config import experiment
  from configs import default

  return list(experiment.flat(default.get_config()))
