"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import tqdm

from bloodcell_jax.train import history

# Least time between two lines where there is no terminal, so that a log stays readable.
SECONDS_BETWEEN_LINES = 20.0


class Progress:
  """Shows loss, accuracy, images a second and the time left; `line` prints a line of its own."""

  def __init__(self, is_shown: bool = True) -> None:
    """`is_shown` is False where another host shows it."""
    self.name = ''  # prefix of every line, where several runs are shown
    self.length_flag = ''  # that gives a run its length, where no key of its config can be given
    self._is_shown, self._terminal = is_shown, is_shown and sys.stderr.isatty()
    self._bar: tqdm.tqdm | None = None
    self._title, self._num_steps, self._done, self._images = '', 0, 0, 0
    self._began = self._last_line = time.monotonic()

  def for_run(self, name: str) -> Progress:
    """The progress of one of several concurrent runs: it has a bar of its own and puts its name before each line."""
    progress = Progress()
    progress.name = f'{name}: '
    return progress

  def line(self, text: str) -> None:
    """Prints the text on its own line, above the bar if there is one."""
    if self._is_shown:
      tqdm.tqdm.write(f'{self.name}{text}', file=sys.stdout)
      sys.stdout.flush()

  def counter(self, what: str) -> Callable[[int, int], None]:
    """An `on_progress(done, total)` that prints a line now and then, such as '  2,000 of 9,957 images read'.

    Args:
      what: stands behind the numbers.
    """
    last_line = time.monotonic()

    def on_progress(done: int, total: int) -> None:
      nonlocal last_line
      if time.monotonic() - last_line >= SECONDS_BETWEEN_LINES:
        last_line = time.monotonic()
        self.line(f'  {done:,} of {total:,} {what}')

    return on_progress

  def start_epoch(self, stage: str, epoch: int, num_epochs: int, num_steps: int, done: int) -> None:
    """Starts an epoch of `num_steps`, of which `done` were made before."""
    self._title = f'{stage} epoch {epoch}/{num_epochs}'
    self._num_steps, self._done, self._images = num_steps, done, 0
    self._began = self._last_line = time.monotonic()
    if self._terminal:
      self._bar = tqdm.tqdm(
        total=num_steps,
        initial=done,
        desc=f'{self.name}{self._title}',
        unit='step',
        leave=False,
        dynamic_ncols=True,
      )

  def step(self, loss: float, accuracy: float, num_images: int) -> None:
    """Shows one more update with its loss and accuracy."""
    self._done += 1
    self._images += num_images
    now = time.monotonic()
    rate = self._images / max(now - self._began, 1e-9)
    figures = f'loss {loss:.4f}, accuracy {accuracy:.3f}, {rate:.0f} images/s'
    if self._bar is not None:
      self._bar.set_postfix_str(figures, refresh=False)
      self._bar.update()
    elif now - self._last_line >= SECONDS_BETWEEN_LINES:
      self._last_line = now
      left = (self._num_steps - self._done) * num_images / rate
      self.line(f'{self._title}: step {self._done}/{self._num_steps}, {figures}, {left:.0f} s left')

  def end_epoch(self, record: history.Record) -> None:
    """Prints the figures of an epoch."""
    self.close()
    self.line(
      f'{self._title}: loss {record.loss:.4f}, accuracy {record.accuracy:.3f}, '
      f'val_loss {record.val_loss:.4f}, val_accuracy {record.val_accuracy:.3f}, '
      f'{record.seconds:.1f} s, {record.images_per_second:.0f} images/s, waited {record.wait_share or 0:.0%}'
    )

  def close(self) -> None:
    """Removes the bar."""
    if self._bar is not None:
      self._bar.close()
      self._bar = None
