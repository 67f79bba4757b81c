"""A flag that a command does not have: the line that says what this command uses for it."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterable

_DEFINED = re.compile(r"flags\.DEFINE_\w+\(\s*'(\w+)'")
# The flags of hosts, which some commands define by calling it.
_HOSTS = 'host_flags'
_KEYS = ' --config.data.source=folders --config.data.dir=FOLDER'
# Commands that read a config of the user.
_WITH_CONFIG = ('train', 'ensemble', 'audit', 'augment', 'study')
# What people call a thing, and by command what it uses for that.
_MEANINGS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
  (
    ('data_dir', 'data', 'dir', 'folder', 'input', 'inputs', 'images', 'image_dir', 'img_dir', 'path', 'source',
     'files'),
    {
      **dict.fromkeys(
        ('train', 'ensemble', 'evaluate', 'adapt'), 'name the folder of the images with --data_dir=FOLDER'
      ),
      'export': 'the folder of moved images is --data_dir=FOLDER',
      'predict': 'name the images as paths: predict FOLDER',
      'explain': 'name the images as paths: explain FOLDER',
      'serve': 'open its page and drop the photographs on it',
      **dict.fromkeys(('audit', 'augment', 'study'), f'name the folder of the images with{_KEYS}'),
    },
  ),
  (
    ('to', 'out', 'output', 'outputs', 'output_dir', 'out_dir', 'outdir', 'save_dir', 'save_to_dir', 'results'),
    {
      **dict.fromkeys(('predict', 'adapt', 'export'), 'name the folder of the results with --to=FOLDER'),
      **dict.fromkeys(('train', 'ensemble', 'audit', 'study'), 'name the folder of the results with --workdir=FOLDER'),
      **dict.fromkeys(('evaluate', 'explain'), 'its results lie in the folder of the run, --workdir=FOLDER'),
      'augment': 'name the folder of the saved images with --save_to_dir=FOLDER',
      'serve': 'results are downloaded from its page',
    },
  ),
  (
    ('model', 'checkpoint', 'ckpt', 'run', 'run_dir', 'logdir', 'log_dir', 'model_dir', 'work_dir', 'weights'),
    {
      **dict.fromkeys(
        ('predict', 'evaluate', 'explain', 'export', 'adapt', 'serve'), 'name the run with --workdir=FOLDER'
      ),
      **dict.fromkeys(
        ('train', 'ensemble'),
        'name the folder of the run with --workdir=FOLDER, and initial weights with --config.weights.path=PATH',
      ),
    },
  ),
  (
    ('labels_csv', 'labels', 'label_csv', 'csv'),
    {
      **dict.fromkeys(_WITH_CONFIG, 'name the list of labels with --config.data.labels_csv=LIST.csv'),
      'evaluate': 'name the list of labels with --data_dir=LIST.csv',
      'adapt': 'name the list of labels with --labels_csv=LIST.csv',
      'predict': 'it takes no labels; labelled images are scored by evaluate --data_dir=LIST.csv',
    },
  ),
  (
    ('groups_csv', 'groups'),
    dict.fromkeys(_WITH_CONFIG, 'name the list of groups with --config.data.groups_csv=LIST.csv'),
  ),
  (('on_bad_image',), {
    **dict.fromkeys(_WITH_CONFIG, 'leave such files out with --config.data.on_bad_image=skip'),
    'predict': 'it leaves such files out and lists them',
  }),
)  # fmt: skip
# Short names of keys.
_SHORT = {
  'lr': 'optimizer.learning_rate', 'num_epochs': 'train.epochs', 'epoch': 'train.epochs', 'batch': 'train.batch_size',
  'size': 'data.image_size', 'img_size': 'data.image_size',
}  # fmt: skip


def line(command: str, name: str, keys: Iterable[str], otherwise: str) -> str:
  """What to write in place of the flag.

  Args:
    command: that was asked for.
    name: of the flag, without dashes.
    keys: of a config, such as `train.epochs`.
    otherwise: the line of the parser, for a flag that nothing is known of.
  """
  start = f'--{name}: {command} has no such flag; '
  for words, uses in _MEANINGS:
    if name.replace('-', '_') in words and command in uses:
      return start + uses[command]
  if command in _WITH_CONFIG and command != 'study' and (key := _key(name.replace('-', '_'), keys)):
    return f'{start}write --config.{key}'
  others = [other for other, names in _of_commands().items() if name in names and other != command]
  if others:
    which = others[0] if len(others) == 1 else f'{", ".join(others[:-1])} and {others[-1]}'
    return (
      f'{start}{which} {"has" if len(others) == 1 else "have"} it; {command} --help lists those of {command}'
    )
  return otherwise


def _key(name: str, keys: Iterable[str]) -> str:
  """The key that is called so, or whose last part is, if there is one only; '' otherwise."""
  every = list(keys)
  meant = _SHORT.get(name, name)
  if meant in every:
    return meant
  found = [key for key in every if key.rpartition('.')[2] == meant]
  return found[0] if len(found) == 1 else ''


def _of_commands() -> dict[str, set[str]]:
  """The flags of every command, read from its source: to load all commands takes seconds."""
  texts = {path.stem: path.read_text('utf-8') for path in sorted(pathlib.Path(__file__).parent.glob('*.py'))}
  own = {name: set(_DEFINED.findall(text)) for name, text in texts.items()}
  shared = own.pop(_HOSTS)
  return {
    name: flags | (shared if f'{_HOSTS}.define()' in texts[name] else set()) for name, flags in own.items()
  }
