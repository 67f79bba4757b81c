"""Loss and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure


def plot(columns: Mapping[str, Sequence[float]], best_epoch: int) -> mpl_figure.Figure:
  """Training and validation curves, the best epoch marked.

  Args:
    columns: `epoch, loss, val_loss, accuracy, val_accuracy`, one entry an epoch.
    best_epoch: the epoch whose checkpoint is evaluated.
  """
  made, (left, right) = figure.new(1, 2, 8, 3.2)
  marker = 'o' if len(columns['epoch']) < 3 else ''
  for axis, name, unit in ((left, 'loss', 'cross-entropy, nats'), (right, 'accuracy', 'share correct')):
    for prefix, label, color in (
      ('', 'training', figure.COLORS[0]),
      ('val_', 'validation', figure.COLORS[1]),
    ):
      axis.plot(columns['epoch'], columns[prefix + name], color=color, label=label, marker=marker)
    axis.axvline(best_epoch, color='#888', lw=1, ls=':', label=f'best epoch ({best_epoch})')
    axis.set(title=name, xlabel='epoch', ylabel=unit)
    axis.xaxis.get_major_locator().set_params(integer=True)
  left.set_ylim(bottom=0)
  right.set_ylim(0, 1)
  left.legend()
  return made
