"""An ensemble of five of the study's CNN B on crops around the nucleus at 96x96; the variant is the method.

    python main.py --config=configs/ensemble.py:bagging --config.data.source=kaggle --config.data.dir=FOLDER

Variants: average (five seeds, the mean of their probabilities; the default), snapshot (five cycles of one run, each
from the weights at the end of the previous one), bagging, samme, samme_r and gradient (boosting), and stacking (a
logistic regression on out-of-fold predictions). Without real images it trains on the synthetic smears.
"""

from ml_collections import config_dict

from configs import cnn_b

AVERAGE, STACKING, GRADIENT = 'average', 'stacking', 'gradient'
VARIANTS = (AVERAGE, 'snapshot', 'bagging', 'samme', 'samme_r', GRADIENT, STACKING)


def get_config(variant: str = AVERAGE) -> config_dict.ConfigDict:
  """The config of a variant."""
  if variant not in VARIANTS:
    raise ValueError(f'no variant {variant!r}; choose one of {", ".join(VARIANTS)}')
  c = cnn_b.get_config()
  c.data.image_size = 96
  c.data.view = 'nucleus'
  c.data.interpolation = 'bilinear'
  c.augment.mirrors = True
  c.augment.quarter_turns = True
  c.train.steps_per_epoch = 100
  c.train.epochs = 10
  c.ensemble.method = AVERAGE if variant == STACKING else variant
  c.ensemble.members = 5
  if variant == STACKING:
    c.ensemble.combine = 'logistic'
    c.ensemble.folds = 2  # each fold trains one more network per member
  if variant == GRADIENT:
    c.train.monitor = 'val_loss'  # members after the first are fitted to residuals, which have no accuracy
  return c
