"""A flag that a command does not have is answered with what this command uses for it."""

import re

import pytest

from bloodcell_jax import commands
from bloodcell_jax.commands import unknown_flag

KEYS = ('data.dir', 'data.image_size', 'train.epochs', 'optimizer.learning_rate', 'svr.cost', 'rbf.cost')


def line(command: str, name: str) -> str:
  return unknown_flag.line(command, name, KEYS, 'the line of the parser')


@pytest.mark.parametrize(
  ('command', 'name', 'says'),
  [
    ('predict', 'data_dir', 'name the images as paths: predict FOLDER'),
    ('predict', 'input', 'name the images as paths: predict FOLDER'),
    ('predict', 'output-dir', 'with --to=FOLDER'),
    ('predict', 'checkpoint', 'name the run with --workdir=FOLDER'),
    ('predict', 'labels_csv', 'evaluate --data_dir=LIST.csv'),
    ('evaluate', 'to', 'in the folder of the run, --workdir=FOLDER'),
    ('evaluate', 'labels_csv', 'with --data_dir=LIST.csv'),
    ('explain', 'to', 'in the folder of the run, --workdir=FOLDER'),
    ('audit', 'data_dir', '--config.data.source=folders --config.data.dir=FOLDER'),
    ('augment', 'data_dir', '--config.data.source=folders --config.data.dir=FOLDER'),
    ('train', 'labels_csv', '--config.data.labels_csv=LIST.csv'),
    ('train', 'data.dir', 'write --config.data.dir'),
    ('train', 'epochs', 'write --config.train.epochs'),
    ('train', 'lr', 'write --config.optimizer.learning_rate'),
    ('train', 'heat_maps', 'predict has it; train --help'),
    ('export', 'cells', 'predict and serve have it; export --help'),
    ('serve', 'out', 'downloaded from its page'),
    ('predict', 'coordinator', 'ensemble, study and train have it'),
  ],
)
def test_the_line_says_what_this_command_uses(command, name, says):
  assert line(command, name).startswith(f'--{name}: {command} has no such flag; ')
  assert says in line(command, name)


@pytest.mark.parametrize(('command', 'name'), [('train', 'cost'), ('predict', 'epochs'), ('train', 'flying')])
def test_of_what_is_not_known_the_parser_speaks(command, name):
  assert line(command, name) == 'the line of the parser'


def test_every_flag_and_command_that_a_line_names_is_there():
  own = unknown_flag._of_commands()
  assert {'data_dir', 'dry_run'} <= own['train']
  common = own['command_line'] | {'workdir'}
  for words, uses in unknown_flag._MEANINGS:
    for command, text in uses.items():
      # The line is for a flag that the command lacks.
      assert command in commands.SUMMARIES
      for flag in re.findall(r'--(\w+)=', text):
        owner = 'evaluate' if 'evaluate --' in text else command
        assert flag in own[owner] | common or flag.startswith('config'), (words[0], command, flag)


def test_the_parser_s_error_becomes_that_line():
  error = ValueError("Unknown command line flag 'data_dir'. Did you mean: data ?")
  assert commands.one_line(error, ['main.py', 'predict', '--data_dir=x']).endswith('predict FOLDER')
  # Without a command it is train, and a flag of its own is left to the parser.
  error = ValueError("Unknown command line flag 'dry_rum'. Did you mean: dry_run ?")
  assert commands.one_line(error, ['main.py', '--dry_rum']) == str(error)
