"""The study's CNN B (606,596 parameters) at 150x150, with the optimizer named as the variant.

    python main.py --config=configs/cnn_b.py:rmsprop --config.data.source=kaggle --config.data.dir=FOLDER

Variants, as in the study: rmsprop (Keras defaults, the default), adam and sgd (learning rate 1e-4, decay 1e-6).
Without real images it trains on the synthetic smears, for far longer than they need.
"""

from ml_collections import config_dict

from configs import default

OPTIMIZERS = ('rmsprop', 'adam', 'sgd')


def get_config(optimizer: str = 'rmsprop') -> config_dict.ConfigDict:
  """The config of a variant."""
  if optimizer not in OPTIMIZERS:
    raise ValueError(f'no variant {optimizer!r}; choose one of {", ".join(OPTIMIZERS)}')
  c = default.get_config()
  c.data.image_size = 150
  c.data.interpolation = 'nearest'  # what Keras' flow_from_directory did in the study
  c.model.name = 'cnn_b'
  c.model.dropout_rate = 0.4
  c.optimizer.name = optimizer
  if optimizer != 'rmsprop':
    c.optimizer.learning_rate = 1e-4
    c.optimizer.decay = 1e-6
  # The study's figure; the validation loss rises long before the accuracy falls.
  c.train.monitor = 'val_accuracy'
  c.train.batch_size = 50
  c.train.steps_per_epoch = 200
  c.train.epochs = 30
  return c
