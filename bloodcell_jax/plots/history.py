"""Loss, accuracy and learning rate by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import axes, ticker
from matplotlib import figure as mpl_figure

from bloodcell_jax.plots import figure

_RAISED = str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹')


@figure.styled
def plot(
  columns: Mapping[str, Sequence[Any]], best_epoch: int, is_cross_entropy: bool, is_weighted: bool
) -> mpl_figure.Figure:
  """Training and validation curves, with the best epoch, the stages and the learning rate.

  Args:
    columns: `epoch, loss, val_loss, accuracy, val_accuracy` and optionally `stage` and `learning_rate`; one entry
      per epoch.
    best_epoch: the epoch whose checkpoint is evaluated.
    is_cross_entropy: whether the loss of every epoch is; otherwise its stages may have losses that cannot be compared.
    is_weighted: whether images weigh differently in the figures of training; in those of validation they weigh alike.
  """
  epochs = np.asarray(columns['epoch'])
  has_rate = 'learning_rate' in columns
  layout = [['loss', 'accuracy'], ['rate', 'accuracy']] if has_rate else [['loss', 'accuracy']]
  heights = (3, 1) if has_rate else (1,)
  fig, panels = figure.mosaic(layout, 9, 3.3 + 0.9 * has_rate, sharex=True, height_ratios=heights)
  few: dict[str, Any] = {'marker': 'o', 'markersize': 4} if len(epochs) < 6 else {}
  training = 'training, weighted' if is_weighted else 'training'
  unit_of_loss = 'cross-entropy, nats' if is_cross_entropy else 'that of each stage'
  for name, unit in (('loss', unit_of_loss), ('accuracy', '')):
    axis = panels[name]
    values = np.asarray([columns[name], columns[f'val_{name}']], float)
    for row, label, color in zip(values, (training, 'validation'), figure.COLORS, strict=False):
      axis.plot(epochs, row, color=color, label=label, **few)
    best = values[1][epochs == best_epoch]
    axis.plot(
      [best_epoch] * len(best), best, 'o', ms=8, mfc='none', mec=figure.TEXT, mew=1.4,
      label=f'best epoch: {best_epoch}',
    )  # fmt: skip
    axis.set_ylabel(unit)
    _borders(axis, epochs, columns.get('stage', ()))
    _scale(axis, name, values[np.isfinite(values)])
    axis.set_title(name.capitalize(), pad=18 if len(set(columns.get('stage', ()))) > 1 else 6)
  if has_rate:
    rate = panels['rate']
    rate.plot(epochs, columns['learning_rate'], color=figure.MUTED, drawstyle='steps-mid', lw=1.4, **few)
    _borders(rate, epochs, columns.get('stage', ()), named=False)
    rate.set_yscale('log')
    _powers(rate)
    rate.set_ylabel('learning rate')
    panels['loss'].tick_params(labelbottom=False)
  for axis in (panels['rate' if has_rate else 'loss'], panels['accuracy']):
    axis.set_xlabel('epoch')
    axis.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
  fig.legend(*panels['loss'].get_legend_handles_labels(), loc='outside upper right', ncols=3)
  return fig


def _borders(axis: axes.Axes, epochs: np.ndarray, stages: Sequence[str], named: bool = True) -> None:
  """A vertical line between stages, and the name of each stage at the top."""
  if len(set(stages)) < 2:
    return
  starts = [i for i, stage in enumerate(stages) if i == 0 or stage != stages[i - 1]]
  for i in starts:
    if i:
      axis.axvline((epochs[i - 1] + epochs[i]) / 2, color=figure.MUTED, lw=1, ls=(0, (4, 3)), zorder=1)
    if named:
      axis.annotate(
        stages[i], (epochs[i] - 0.5 * bool(i), 1), (0 if i else 2, 3), ('data', 'axes fraction'),
        'offset points', fontsize=8, color=figure.MUTED, ha='left', va='bottom',
      )  # fmt: skip


def _scale(axis: axes.Axes, name: str, values: np.ndarray) -> None:
  if name == 'accuracy':
    low = np.floor(10 * values.min()) / 10 if len(values) else 0
    axis.set_ylim(min(low, 0.9), 1.0)
    axis.yaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
  elif len(values) and values.min() > 0 and values.max() > 30 * values.min():
    axis.set_yscale('log')
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:g}'))
    axis.yaxis.set_minor_formatter(ticker.NullFormatter())
  else:
    axis.set_ylim(bottom=0)


def _powers(axis: axes.Axes) -> None:
  """Puts at least two labels, powers of ten, on a logarithmic axis, however small its range."""
  low, high = axis.dataLim.intervaly
  if not (0 < low <= high < np.inf):
    return
  bottom, top = np.floor(np.log10(low * 0.999)), np.ceil(np.log10(high * 1.001))
  axis.set_ylim(10**bottom, 10**top)
  step = max(1, int(np.ceil((top - bottom) / 3)))
  axis.set_yticks(10.0 ** np.arange(bottom, top + 1, step))
  # As Unicode superscripts, because formulas are switched off in `figure.styled`.
  axis.yaxis.set_major_formatter(
    ticker.FuncFormatter(lambda value, _: '10' + str(round(np.log10(value))).translate(_RAISED))
  )
  axis.yaxis.set_minor_locator(ticker.NullLocator())
